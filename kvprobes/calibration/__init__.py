"""The calibration of the instrument: planted truth goes in; what is found is held against it."""
