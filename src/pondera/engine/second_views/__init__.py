"""Second views: what a model is shown or asked about a sample is changed, and the change is made to teach."""
