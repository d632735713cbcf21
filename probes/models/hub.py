"""Fetching a model from the Hugging Face hub: safetensors and text files, nothing that runs."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

_PATTERNS = (
    *("*.json", "*.safetensors", "*.txt", "*.jinja"),
    *("*.model", "*.spm", "*.tiktoken", "*.tokenizer", "*.codes"),
)
"""Everything but code and other frameworks' weights: a tokenizer lacks no file of its own."""

_TIMEOUT = 10.0  # seconds, for each question to the hub


class HubProblem(Exception):  # noqa: N818 - not shown to users; load_model rewords it
    """A name was not available from the hub; the message is half a sentence that says why."""


def fetch_snapshot(name: str, revision: str | None) -> Path:
    """Return the local folder of a hub model, named by its commit; from the cache if offline.

    Raises
    ------
    HubProblem
        If there is no such model or it can neither be reached nor found in the cache.
    """
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=list(_PATTERNS),
                ignore_patterns=["*/*", "consolidated*"],
                etag_timeout=_TIMEOUT,
            )
        )
    except HFValidationError as error:
        raise HubProblem("it is not bundled, and not a name that the hub could have") from error
    except GatedRepoError as error:
        raise HubProblem(
            "on the hub it is behind a licence; accept it there and run `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise HubProblem(f"on the hub it has no revision {revision!r}") from error
    except RepositoryNotFoundError as error:
        raise HubProblem(
            "it is neither bundled nor on the hub (or private: run `hf auth login`)"
        ) from error
    except LocalEntryNotFoundError as error:
        raise HubProblem(
            "it is not bundled, the hub could not be reached, and it is not in the hub's local "
            "cache; connect once, or copy the model's folder here and give its path"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise HubProblem(f"it is not bundled, and the hub failed with: {error}") from error
