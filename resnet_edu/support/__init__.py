"""What every room uses: checks of arguments, files, tables, downloads, facts of the machine."""
