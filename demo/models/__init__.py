"""Models as code: MLflow logs these files themselves, so each stands alone and no pickle is needed."""
