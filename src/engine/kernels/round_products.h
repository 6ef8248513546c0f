// From here on a product is rounded before something is added to it, unless
// fma() is called: a compiler may fuse the two wherever the processor can, and
// does so in one loop and not in the next, so that the bits of a number would
// depend on where it stands. Included in a region that ends by pop_options.
#if defined(__clang__)
#pragma clang fp contract(off)
#else
#pragma GCC optimize("fp-contract=off")
#endif
