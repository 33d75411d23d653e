class StoreRig:
    pass
