"""Published recordings by name: their archives, files, options, licences and citations."""
