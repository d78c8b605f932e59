"""The subcommands of ``mesa``, imported one by one as they are called."""
