"""The one seam through which messages leave and enter."""
