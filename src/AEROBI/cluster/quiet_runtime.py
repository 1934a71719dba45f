"""Import this before TensorFlow: a cluster's own runtime then says no more than it must.

Each of its calls that ends with its session is a warning to it, and sessions come and go here.
"""

import os

if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "1":  # what AEROBI sets
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
