// Dual numbers: a value and its derivatives along N directions at once. Any
// code that is templated on its scalar computes exact derivatives with them
// (forward-mode differentiation), to rounding.
#pragma once

#include <cmath>

namespace attentive_test {

template <class Real, int N> struct Dual {
  Real value;
  Real d[N];

  Dual() = default;
  explicit Dual(double constant) : value(static_cast<Real>(constant)) {
    for (Real &x : d)
      x = 0;
  }
};

// f(x) where f has the given value and slope at x.
template <class Real, int N> Dual<Real, N> chain(Dual<Real, N> x, Real value, Real slope) {
  x.value = value;
  for (Real &di : x.d)
    di *= slope;
  return x;
}

// f(x, y) with the partial slopes dx and dy.
template <class Real, int N>
Dual<Real, N> chain(const Dual<Real, N> &x, const Dual<Real, N> &y, Real value, Real dx, Real dy) {
  Dual<Real, N> result;
  result.value = value;
  for (int i = 0; i < N; ++i)
    result.d[i] = dx * x.d[i] + dy * y.d[i];
  return result;
}

template <class R, int N> Dual<R, N> operator+(const Dual<R, N> &x, const Dual<R, N> &y) {
  return chain(x, y, x.value + y.value, R(1), R(1));
}
template <class R, int N> Dual<R, N> operator-(const Dual<R, N> &x, const Dual<R, N> &y) {
  return chain(x, y, x.value - y.value, R(1), R(-1));
}
template <class R, int N> Dual<R, N> operator*(const Dual<R, N> &x, const Dual<R, N> &y) {
  return chain(x, y, x.value * y.value, y.value, x.value);
}
template <class R, int N> Dual<R, N> operator/(const Dual<R, N> &x, const Dual<R, N> &y) {
  const R ratio = x.value / y.value;
  return chain(x, y, ratio, 1 / y.value, -ratio / y.value);
}
template <class R, int N> Dual<R, N> operator-(const Dual<R, N> &x) {
  return chain(x, -x.value, R(-1));
}
template <class R, int N> Dual<R, N> &operator+=(Dual<R, N> &x, const Dual<R, N> &y) {
  return x = x + y;
}

template <class R, int N> Dual<R, N> exp(const Dual<R, N> &x) {
  const R value = std::exp(x.value);
  return chain(x, value, value);
}
template <class R, int N> Dual<R, N> log(const Dual<R, N> &x) {
  return chain(x, std::log(x.value), 1 / x.value);
}

template <class R, int N> Dual<R, N> tanh(const Dual<R, N> &x) {
  const R value = std::tanh(x.value);
  return chain(x, value, 1 - value * value);
}

template <class R, int N> bool operator<(const Dual<R, N> &x, const Dual<R, N> &y) {
  return x.value < y.value;
}
template <class R, int N> bool operator>(const Dual<R, N> &x, const Dual<R, N> &y) {
  return x.value > y.value;
}
template <class R, int N> bool operator==(const Dual<R, N> &x, const Dual<R, N> &y) {
  return x.value == y.value;
}

} // namespace attentive_test
