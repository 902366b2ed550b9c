"""How Label Studio writes annotations: regions of a `result`, in percent of the picture."""
