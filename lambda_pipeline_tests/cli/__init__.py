"""The command line, as its users meet it: exit codes, standard output, one clear line for an error."""
