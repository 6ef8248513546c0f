// What the doorway's files share: R objects to the engine's views, errors and
// interrupts back to R. No decisions, no arithmetic.
#pragma once

#include "attentive_types.h"

#include <algorithm>
#include <climits>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "engine/layout.h"
#include "engine/memory.h"
#include "engine/parallel.h"
#include "engine/tensor.h"

namespace attentive {
namespace doorway {

// A jump of R's that waits until the frames of the engine are gone; null: none.
inline SEXP &waiting_jump() {
  static SEXP token = nullptr;
  return token;
}

// Polled on the main thread only. Where R wants to jump, for an interrupt, a time limit or
// a handler of these, it has to wait. It is not asked again before it jumped.
inline bool interrupted() {
  if (waiting_jump() != nullptr)
    return true;
  try {
    Rcpp::unwindProtect([] {
      R_CheckUserInterrupt();
      return R_NilValue;
    });
    return false;
  } catch (const Rcpp::LongjumpException &jump) {
    waiting_jump() = jump.token;
    return true;
  }
}

inline Execution execution(int threads) {
  Execution e;
  e.threads = threads;
  e.interrupted = interrupted;
  return e;
}

// A classed error, by this function of R's side; the jump waits for the frames of C++.
inline void raise(const char *abort) {
  const Rcpp::Function function = Rcpp::Environment::namespace_env("attentive")[abort];
  function();
}

// Runs work(); what the engine throws becomes an R condition after all frames
// of the engine are gone.
template <class Work> auto guarded(Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const Interrupted &) {
    throw Rcpp::LongjumpException(std::exchange(waiting_jump(), nullptr));
  } catch (const std::bad_alloc &) {
    raise("abort_memory");
    throw; // not reached
  } catch (const std::length_error &) { // a size beyond the address space
    raise("abort_memory");
    throw;
  }
}

// An R vector. Where R has no memory for it that is std::bad_alloc, not a jump
// over the engine's frames. Small ones do not pay for that. All is protected: the
// handler is code of R, in which an interrupt that waits is a jump.
inline SEXP new_vector(SEXPTYPE type, Index size) {
  if (size < (Index(1) << 20))
    return Rcpp::unwindProtect([=] { return Rf_allocVector(type, size); });
  struct Wanted {
    SEXPTYPE type;
    Index size;
  } wanted{type, size};
  SEXP out = Rcpp::unwindProtect([&] {
    return R_tryCatchError(
        [](void *data) {
          const auto *it = static_cast<const Wanted *>(data);
          return Rf_allocVector(it->type, it->size);
        },
        &wanted, [](SEXP, void *) { return R_NilValue; }, nullptr);
  });
  if (Rf_isNull(out))
    throw std::bad_alloc();
  return out;
}

// Numbers of the engine as an R vector without dims.
template <class T> Rcpp::NumericVector plain_vector(const Buffer<T> &numbers) {
  Rcpp::NumericVector out(new_vector(REALSXP, numbers.size()));
  std::copy_n(numbers.data(), numbers.size(), out.begin());
  return out;
}

inline std::vector<Index> dims_of(SEXP x) {
  SEXP dim = Rf_getAttrib(x, R_DimSymbol);
  if (Rf_isNull(dim))
    return {static_cast<Index>(Rf_xlength(x))};
  const int *first = INTEGER(dim);
  return std::vector<Index>(first, first + Rf_length(dim));
}

// Gives body() the numbers of x, numeric, integer or logical: a pointer to double or int.
// They are read where they are: asked for a pointer to write with, R would copy what two
// arrays share. Those of a sequence it has to make first, which may fail.
template <class Body> void with_numbers(SEXP x, const Body &body) {
  const double *reals = nullptr;
  const int *integers = nullptr;
  Rcpp::unwindProtect([&] {
    if (TYPEOF(x) == REALSXP)
      reals = REAL_RO(x);
    else
      integers = TYPEOF(x) == LGLSXP ? LOGICAL_RO(x) : INTEGER_RO(x); // or R's error
    return R_NilValue;
  });
  if (TYPEOF(x) == REALSXP)
    body(reals);
  else
    body(integers);
}

// The R array x as row-major T at `place`, with its axes in `order`.
template <class T>
void read_into(SEXP x, const std::vector<int> &order, T *place, const Execution &execution) {
  const std::vector<Index> dims = dims_of(x);
  with_numbers(x, [&](const auto *numbers) {
    from_column_major(numbers, dims.data(), static_cast<int>(dims.size()), order.data(), place,
                      execution);
  });
}

template <class T>
Buffer<T> read_array(SEXP x, const std::vector<int> &order, const Execution &execution) {
  Buffer<T> out(Rf_xlength(x));
  read_into(x, order, out.data(), execution);
  return out;
}

// Dims as R has them, whose axes end at 2^31 - 1.
inline Rcpp::IntegerVector r_dims(const std::vector<Index> &dims) {
  Rcpp::IntegerVector out(dims.size());
  for (std::size_t axis = 0; axis < dims.size(); ++axis) {
    if (dims[axis] > INT_MAX)
      raise("abort_long_axis");
    out[static_cast<R_xlen_t>(axis)] = static_cast<int>(dims[axis]);
  }
  return out;
}

inline std::vector<int> natural_order(std::size_t rank) {
  std::vector<int> order(rank);
  for (std::size_t i = 0; i < rank; ++i)
    order[i] = static_cast<int>(i);
  return order;
}

// A new R array; dims of length 0 give a plain number.
inline Rcpp::NumericVector new_array(const Rcpp::IntegerVector &dims) {
  Index size = 1;
  for (int d : dims)
    size = checked_product(size, d);
  Rcpp::NumericVector out(new_vector(REALSXP, size));
  prefer_large_pages(out.begin(), static_cast<std::size_t>(size) * sizeof(double));
  if (dims.size() > 0)
    out.attr("dim") = Rcpp::clone(dims);
  return out;
}

template <class T> const T *raw_numbers(SEXP raw) {
  return Rf_isNull(raw) ? nullptr : reinterpret_cast<const T *>(RAW_RO(raw));
}

} // namespace doorway
} // namespace attentive
