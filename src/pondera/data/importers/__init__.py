"""From the files of a data set, a published list or a table of one's own to samples that can be trusted."""
