// Functions of one number whose loops have nothing to gain from vectors.
#include <cmath>

#include "activation.h"

namespace attentive {
namespace {

using Numbers = ActivationNumbers;

// One function of the table: value(x) and slope(x, y).
template <class T, T (*kValue)(T, const Numbers &), T (*kSlope)(T, T, const Numbers &)>
ElementRule<T> rule() {
  ElementRule<T> made;
  made.forward = [](const T *x, T *y, Index n, const Numbers &numbers) {
    for (Index i = 0; i < n; ++i)
      y[i] = kValue(x[i], numbers);
  };
  made.backward = [](const T *x, const T *y, const T *d_y, T *d_x, Index n, bool accumulate,
                     const Numbers &numbers) {
    for (Index i = 0; i < n; ++i)
      d_x[i] = d_y[i] * kSlope(x[i], y[i], numbers) + (accumulate ? d_x[i] : T(0));
  };
  return made;
}

// name(x) with its value and its slope, where y is the value
#define ATTENTIVE_FUNCTION(name, value, slope)                                                     \
  template <class T> T name##_value(T x, [[maybe_unused]] const Numbers &n) { return value; }      \
  template <class T>                                                                               \
  T name##_slope([[maybe_unused]] T x, [[maybe_unused]] T y, [[maybe_unused]] const Numbers &n) {  \
    return slope;                                                                                  \
  }

ATTENTIVE_FUNCTION(rsqrt, T(1) / std::sqrt(x), T(-0.5) * y / x)
ATTENTIVE_FUNCTION(reciprocal, T(1) / x, -y * y)
ATTENTIVE_FUNCTION(expm1, std::expm1(x), y + T(1))
ATTENTIVE_FUNCTION(log1p, std::log1p(x), T(1) / (T(1) + x))
ATTENTIVE_FUNCTION(log2, std::log2(x), T(1.4426950408889634) / x)
ATTENTIVE_FUNCTION(log10, std::log10(x), T(0.4342944819032518) / x)
ATTENTIVE_FUNCTION(sign, x > 0 ? T(1) : x < 0 ? T(-1) : x, T(0))
ATTENTIVE_FUNCTION(floor, std::floor(x), T(0))
ATTENTIVE_FUNCTION(ceil, std::ceil(x), T(0))
// halves go to the even neighbour
ATTENTIVE_FUNCTION(round, std::fabs(x - std::trunc(x)) == T(0.5) ? T(2) * std::round(x / T(2))
                                                                 : std::round(x),
                   T(0))
ATTENTIVE_FUNCTION(sin, std::sin(x), std::cos(x))
ATTENTIVE_FUNCTION(cos, std::cos(x), -std::sin(x))
ATTENTIVE_FUNCTION(tan, std::tan(x), T(1) + y * y)
ATTENTIVE_FUNCTION(arcsin, std::asin(x), T(1) / std::sqrt(T(1) - x * x))
ATTENTIVE_FUNCTION(arccos, std::acos(x), T(-1) / std::sqrt(T(1) - x * x))
ATTENTIVE_FUNCTION(arctan, std::atan(x), T(1) / (T(1) + x * x))
ATTENTIVE_FUNCTION(sinh, std::sinh(x), std::cosh(x))
ATTENTIVE_FUNCTION(cosh, std::cosh(x), std::sinh(x))
ATTENTIVE_FUNCTION(erf, std::erf(x), T(1.1283791670955126) * std::exp(-x * x))
// within [threshold, max_value], NaN stays
ATTENTIVE_FUNCTION(clip,
                   x < T(n.threshold)   ? T(n.threshold)
                   : x > T(n.max_value) ? T(n.max_value)
                                        : x,
                   T(x >= T(n.threshold) && x <= T(n.max_value)))
ATTENTIVE_FUNCTION(logical_not, T(x == 0), T(0))
ATTENTIVE_FUNCTION(isnan, T(std::isnan(x)), T(0))
ATTENTIVE_FUNCTION(isinf, T(std::isinf(x)), T(0))
ATTENTIVE_FUNCTION(isfinite, T(std::isfinite(x)), T(0))

} // namespace

template <class T> void add_unary_rules(std::map<std::string, ElementRule<T>> &rules) {
#define ATTENTIVE_RULE(name) rules[#name] = rule<T, name##_value<T>, name##_slope<T>>();
  ATTENTIVE_RULE(rsqrt)
  ATTENTIVE_RULE(reciprocal)
  ATTENTIVE_RULE(expm1)
  ATTENTIVE_RULE(log1p)
  ATTENTIVE_RULE(log2)
  ATTENTIVE_RULE(log10)
  ATTENTIVE_RULE(sign)
  ATTENTIVE_RULE(floor)
  ATTENTIVE_RULE(ceil)
  ATTENTIVE_RULE(round)
  ATTENTIVE_RULE(sin)
  ATTENTIVE_RULE(cos)
  ATTENTIVE_RULE(tan)
  ATTENTIVE_RULE(arcsin)
  ATTENTIVE_RULE(arccos)
  ATTENTIVE_RULE(arctan)
  ATTENTIVE_RULE(sinh)
  ATTENTIVE_RULE(cosh)
  ATTENTIVE_RULE(erf)
  ATTENTIVE_RULE(clip)
  ATTENTIVE_RULE(logical_not)
  ATTENTIVE_RULE(isnan)
  ATTENTIVE_RULE(isinf)
  ATTENTIVE_RULE(isfinite)
#undef ATTENTIVE_RULE
}

template void add_unary_rules<float>(std::map<std::string, ElementRule<float>> &);
template void add_unary_rules<double>(std::map<std::string, ElementRule<double>> &);

} // namespace attentive
