"""Images that others have shared, over REST: their kernels for Jupyter, and JupyterLab in their containers."""
