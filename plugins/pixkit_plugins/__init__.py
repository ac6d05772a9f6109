"""The plugins that come with pixkit; each uses only pixkit's public names."""
