"""The demonstration: real models on the data sets that ship with scikit-learn, and traffic for them."""
