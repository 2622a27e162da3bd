"""The embedded policy: rules over what the tools measured, as a chat model."""
