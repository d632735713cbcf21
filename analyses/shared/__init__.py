"""What the questions share: the record, settings, numbers in words, drawing, sections."""
