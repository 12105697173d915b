// Does nothing, takes nothing: what is left is the price of a dispatch.
#include "device.h"

kernel void empty(void) {}
