"""`python -m resnet_edu COMMAND`: the command line where the command `resnet-edu` is not on the path."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
