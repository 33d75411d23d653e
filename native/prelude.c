#include "overlaykit.h"
