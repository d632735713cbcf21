"""Errors a user can cause or meet; each message says what came, what was expected, what to do."""


class KvprobesError(Exception):
    """Base of every error that kvprobes raises on purpose; the command prints it and exits 1."""


class UsageError(KvprobesError):
    """An argument is out of range or two arguments contradict each other."""


class SettingError(UsageError, ValueError):
    """A setting or argument of an estimator is none; scikit-learn expects a ValueError."""


class UnknownModelError(KvprobesError):
    """A model name is neither bundled, nor a folder, nor reachable on a hub."""


class DownloadError(KvprobesError):
    """A package or file could not be fetched."""


class IntegrityError(KvprobesError):
    """A file does not have the hash it must have."""


class UnsupportedModelError(KvprobesError):
    """A model whose attention kvprobes cannot address exactly."""


class NoMatrixError(UnsupportedModelError):
    """A layer's weights cannot be had as a matrix, and something needs them so."""


class FaithfulnessError(KvprobesError):
    """What was captured differs from what the model itself uses."""


class TableError(KvprobesError):
    """A word-pair or template table is missing, empty or malformed."""


class AlignmentError(KvprobesError):
    """A word cannot be found among the tokens of its sentence."""


class StoreError(KvprobesError):
    """A captured store cannot be read or written."""


class StoreMismatchError(StoreError):
    """A folder holds results of other settings."""


class ClusterError(KvprobesError):
    """The machines that work was given to cannot be reached, or gave it up."""


class NonFiniteError(KvprobesError):
    """NaN or infinite numbers where finite ones are needed."""
