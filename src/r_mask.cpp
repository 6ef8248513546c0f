// Masks: R arrays of TRUE/FALSE or 0/1 to bytes.
#include "r_common.h"

using namespace attentive;

namespace {

template <class S> bool only_zero_and_one(const S *x, R_xlen_t size) {
  for (R_xlen_t i = 0; i < size; ++i)
    if (x[i] != 0 && x[i] != 1)
      return false; // NA too: it is neither
  return true;
}

} // namespace

// The mask as bytes, row-major with its axes in `order`; NULL where it holds
// anything but 0 and 1, for the caller to explain.
// [[Rcpp::export(rng = false)]]
SEXP mask_bytes(SEXP mask, std::vector<int> order) {
  return doorway::guarded([&]() -> SEXP {
    const R_xlen_t size = Rf_xlength(mask);
    bool valid = false;
    doorway::with_numbers(mask,
                          [&](const auto *numbers) { valid = only_zero_and_one(numbers, size); });
    if (!valid)
      return R_NilValue;
    const Buffer<std::uint8_t> bytes =
        doorway::read_array<std::uint8_t>(mask, order, doorway::execution(1));
    Rcpp::RawVector out(doorway::new_vector(RAWSXP, size));
    std::copy(bytes.data(), bytes.data() + size, RAW(out));
    return out;
  });
}
