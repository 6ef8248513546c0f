// How a run's results come back into R's Variables.
#pragma once

#include <algorithm>
#include <vector>

#include "r_program.h"

namespace attentive {
namespace doorway {

// Bytes of a Variable that may be written. They are the Variable's own, unless R
// shares them with another object, or `fresh` asks for a copy: then give() hands
// the copy to the Variable.
class Written {
public:
  Written(SEXP variable, bool fresh) : variable_(variable) {
    SEXP raw = variable_raw(variable);
    if (fresh || MAYBE_SHARED(raw))
      copy_ = Rcpp::unwindProtect([&] { return Rf_duplicate(raw); });
    raw_ = Rf_isNull(copy_) ? raw : static_cast<SEXP>(copy_);
  }
  template <class T> T *numbers() const { return reinterpret_cast<T *>(RAW(raw_)); }
  Index bytes() const { return static_cast<Index>(Rf_xlength(raw_)); }
  void give() const {
    if (!Rf_isNull(copy_))
      Rf_defineVar(Rf_install("value"), raw_, variable_);
  }

private:
  SEXP variable_, raw_;
  Rcpp::RObject copy_;
};

// The states that a run has left pending, in two steps: the constructor makes all
// copies and may fail, write() cannot. Not while BoundWeights hold the Variables.
template <class T> class PendingStates {
public:
  PendingStates(const std::vector<Weight<T>> &weights, const Rcpp::List &variables, bool fresh) {
    for (std::size_t i = 0; i < weights.size(); ++i)
      if (weights[i].has_pending) {
        from_.push_back(&weights[i].pending);
        to_.emplace_back(variables[static_cast<R_xlen_t>(i)], fresh);
      }
  }
  void write() const {
    for (std::size_t i = 0; i < to_.size(); ++i) {
      std::copy_n(from_[i]->data(), from_[i]->size(), to_[i].template numbers<T>());
      to_[i].give();
    }
  }

private:
  std::vector<const Buffer<T> *> from_;
  std::vector<Written> to_;
};

} // namespace doorway
} // namespace attentive
