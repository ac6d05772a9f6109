"""A plugin that talks and then leaves."""

import sys

print("this must not reach stdout")
sys.exit("a GPU is needed")
