"""The embedded policy: rules over what the tools measured, played as an honest chat model."""
