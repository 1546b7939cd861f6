"""resnet_edu: residual networks to read, trace and train."""

__version__ = "0.1.0"
