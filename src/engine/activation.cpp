#include "activation.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "kernels/table.h"
#include "node_loops.h"

namespace attentive {
namespace {

using Numbers = ActivationNumbers;

// Every other function than those of the kernels: value(x) and slope(x, y). NaN goes through each
// of them, and an infinite number gives the limit: x is cut to where the other factor is 0.
template <class T> T within(T x, T c) { return std::max(std::min(x, c), -c); } // NaN stays
template <class T> T sigmoid_of(T x) { return T(1) / (T(1) + std::exp(-x)); }
template <class T> T softplus_of(T x) {
  return std::max(x, T(0)) + std::log1p(std::exp(-std::fabs(x)));
}

struct Linear {
  static constexpr bool kNeedsX = false;
  template <class T> static T value(T x, const Numbers &) { return x; }
  template <class T> static T slope(T, T, const Numbers &) { return 1; }
};
struct Relu { // with all its numbers
  static constexpr bool kNeedsX = true;
  // what is left of x on the other side; of none nothing, where x is infinite too
  template <class T> static T below(T x, const Numbers &n) {
    return n.negative_slope == 0 ? T(0) : T(n.negative_slope) * x;
  }
  template <class T> static T value(T x, const Numbers &n) {
    if (n.has_max && x >= T(n.max_value))
      return T(n.max_value);
    return x <= T(n.threshold) ? below(x - T(n.threshold), n) : x;
  }
  template <class T> static T slope(T x, T, const Numbers &n) {
    if (n.has_max && x >= T(n.max_value))
      return 0;
    return x <= T(n.threshold) ? T(n.negative_slope) : T(1);
  }
};
struct Relu6 {
  static constexpr bool kNeedsX = false;
  template <class T> static T value(T x, const Numbers &) {
    return x < 0 ? T(0) : x > 6 ? T(6) : x;
  }
  template <class T> static T slope(T, T y, const Numbers &) { return T(y > 0 && y < 6); }
};
struct LeakyRelu {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &n) { return x < 0 ? Relu::below(x, n) : x; }
  template <class T> static T slope(T x, T, const Numbers &n) {
    return x > 0 ? T(1) : T(n.negative_slope);
  }
};
struct Elu {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &n) {
    return x > 0 ? x : T(n.alpha) * std::expm1(x);
  }
  template <class T> static T slope(T x, T y, const Numbers &n) {
    return x > 0 ? T(1) : y + T(n.alpha);
  }
};
struct Selu {
  static constexpr bool kNeedsX = true;
  static constexpr double kScale = 1.0507009873554805, kAlpha = 1.6732632423543772;
  template <class T> static T value(T x, const Numbers &) {
    return x > 0 ? T(kScale) * x : T(kScale * kAlpha) * std::expm1(x);
  }
  template <class T> static T slope(T x, T y, const Numbers &) {
    return x > 0 ? T(kScale) : y + T(kScale * kAlpha);
  }
};
struct Celu {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &n) {
    return x > 0 ? x : T(n.alpha) * std::expm1(x / T(n.alpha));
  }
  template <class T> static T slope(T x, T y, const Numbers &n) {
    return x > 0 ? T(1) : y / T(n.alpha) + T(1);
  }
};
struct Mish {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &) {
    return std::max(x, T(-1000)) * std::tanh(softplus_of(x));
  }
  template <class T> static T slope(T x, T, const Numbers &) {
    const T t = std::tanh(softplus_of(x));
    return t + within(x, T(1000)) * (T(1) - t * t) * sigmoid_of(x);
  }
};
struct HardSigmoid {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &) {
    return Relu6::value(x + T(3), Numbers()) / T(6);
  }
  template <class T> static T slope(T x, T, const Numbers &) { return T(x > -3 && x < 3) / T(6); }
};
struct HardSilu {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &n) {
    return std::max(x, T(-3)) * HardSigmoid::value(x, n);
  }
  template <class T> static T slope(T x, T, const Numbers &n) {
    return HardSigmoid::value(x, n) + within(x, T(3)) * HardSigmoid::slope(x, x, n);
  }
};
struct HardTanh {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &) {
    return x < -1 ? T(-1) : x > 1 ? T(1) : x;
  }
  template <class T> static T slope(T x, T, const Numbers &) { return T(x >= -1 && x <= 1); }
};
struct TanhShrink {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &) { return x - std::tanh(x); }
  template <class T> static T slope(T x, T, const Numbers &) {
    const T t = std::tanh(x);
    return t * t;
  }
};
struct Softplus {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &) { return softplus_of(x); }
  template <class T> static T slope(T x, T, const Numbers &) { return sigmoid_of(x); }
};
struct Softsign {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &) {
    const T cut = within(x, T(1e30));
    return cut / (T(1) + std::fabs(cut));
  }
  template <class T> static T slope(T x, T, const Numbers &) {
    const T r = T(1) / (T(1) + std::fabs(x));
    return r * r;
  }
};
struct Exponential {
  static constexpr bool kNeedsX = false;
  template <class T> static T value(T x, const Numbers &) { return std::exp(x); }
  template <class T> static T slope(T, T y, const Numbers &) { return y; }
};
struct LogSigmoid {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &) { return -softplus_of(-x); }
  template <class T> static T slope(T x, T, const Numbers &) { return sigmoid_of(-x); }
};
struct Squareplus { // with r = sqrt(x^2 + b), r - |x| is b / (r + |x|)
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &n) {
    const T r = std::sqrt(x * x + T(n.b));
    return T(0.5) * (x < 0 ? T(n.b) / (r - x) : x + r);
  }
  template <class T> static T slope(T x, T, const Numbers &n) {
    const T r = std::sqrt(x * x + T(n.b)), small = T(0.5) * T(n.b) / (r * (r + std::fabs(x)));
    return x < 0 ? small : T(1) - small;
  }
};
struct SoftShrink {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &n) {
    const T t = T(n.threshold);
    return x > t ? x - t : x < -t ? x + t : x * T(0);
  }
  template <class T> static T slope(T x, T, const Numbers &n) {
    return T(std::fabs(x) > T(n.threshold));
  }
};
struct HardShrink {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &n) {
    return std::fabs(x) <= T(n.threshold) ? T(0) : x;
  }
  template <class T> static T slope(T x, T, const Numbers &n) {
    return T(std::fabs(x) > T(n.threshold));
  }
};
struct SparsePlus {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &) {
    return x <= -1 ? T(0) : x < 1 ? T(0.25) * (x + T(1)) * (x + T(1)) : x;
  }
  template <class T> static T slope(T x, T, const Numbers &) {
    return x <= -1 ? T(0) : x < 1 ? T(0.5) * (x + T(1)) : T(1);
  }
};
struct SparseSigmoid {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &) {
    return x <= -1 ? T(0) : x >= 1 ? T(1) : T(0.5) * (x + T(1));
  }
  template <class T> static T slope(T x, T, const Numbers &) {
    return x > -1 && x < 1 ? T(0.5) : T(0);
  }
};
struct Threshold {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &n) {
    return x <= T(n.threshold) ? T(n.value) : x;
  }
  template <class T> static T slope(T x, T, const Numbers &n) { return T(x > T(n.threshold)); }
};
struct Negative {
  static constexpr bool kNeedsX = false;
  template <class T> static T value(T x, const Numbers &) { return -x; }
  template <class T> static T slope(T, T, const Numbers &) { return -1; }
};
struct Abs {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &) { return std::fabs(x); }
  template <class T> static T slope(T x, T, const Numbers &) { return T(x > 0) - T(x < 0); }
};
struct Square {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &) { return x * x; }
  template <class T> static T slope(T x, T, const Numbers &) { return T(2) * x; }
};
struct Sqrt {
  static constexpr bool kNeedsX = false;
  template <class T> static T value(T x, const Numbers &) { return std::sqrt(x); }
  template <class T> static T slope(T, T y, const Numbers &) { return T(0.5) / y; }
};
struct Log {
  static constexpr bool kNeedsX = true;
  template <class T> static T value(T x, const Numbers &) { return std::log(x); }
  template <class T> static T slope(T x, T, const Numbers &) { return T(1) / x; }
};

// body(i, block) writes what belongs to i ... i + 15 into the block, which is then
// written to `to` or added to it; one(i) is the same for a single number. A block
// of fixed length that is apart from where it goes: compilers use vectors for it,
// where there is no function of the library in it.
constexpr Index kBlock = 16;
template <class T, class Body, class One>
void by_blocks(T *to, Index n, bool accumulate, const Body &body, const One &one) {
  Index i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    T block[kBlock];
    body(i, block);
    if (accumulate)
      for (Index j = 0; j < kBlock; ++j)
        block[j] += to[i + j];
    std::copy_n(block, kBlock, to + i);
  }
  for (; i < n; ++i)
    to[i] = accumulate ? to[i] + one(i) : one(i);
}

template <class T, class F> ElementRule<T> rule() {
  ElementRule<T> made;
  made.needs_x = F::kNeedsX;
  made.forward = [](const T *x, T *y, Index n, const Numbers &numbers) {
    const auto one = [&](Index i) { return F::value(x[i], numbers); };
    const auto body = [&](Index i, T *block) {
      for (Index j = 0; j < kBlock; ++j)
        block[j] = one(i + j);
    };
    by_blocks(y, n, false, body, one);
  };
  made.backward = [](const T *x, const T *y, const T *d_y, T *d_x, Index n, bool accumulate,
                     const Numbers &numbers) {
    const auto slope = [&](Index i) { return F::slope(x[i], y[i], numbers); };
    const auto body = [&](Index i, T *block) {
      for (Index j = 0; j < kBlock; ++j)
        block[j] = slope(i + j);
      for (Index j = 0; j < kBlock; ++j)
        block[j] *= d_y[i + j];
    };
    by_blocks(d_x, n, accumulate, body, [&](Index i) { return d_y[i] * slope(i); });
  };
  return made;
}

// One whose loops are kernels.
template <class T, Curve kCurve> ElementRule<T> curve() {
  constexpr int at = static_cast<int>(kCurve);
  ElementRule<T> made;
  made.needs_x = kCurve != Curve::relu && kCurve != Curve::sigmoid && kCurve != Curve::tanh;
  made.forward = [](const T *x, T *y, Index n, const Numbers &) {
    kernels<T>().elementwise.curves[at].forward(x, y, n);
  };
  made.backward = [](const T *x, const T *y, const T *d_y, T *d_x, Index n, bool accumulate,
                     const Numbers &) {
    kernels<T>().elementwise.curves[at].backward(x, y, d_y, d_x, n, accumulate);
  };
  return made;
}

template <class T> std::map<std::string, ElementRule<T>> all_rules() {
  std::map<std::string, ElementRule<T>> rules = {
      {"linear", rule<T, Linear>()},
      {"plain_relu", curve<T, Curve::relu>()},
      {"relu", rule<T, Relu>()},
      {"relu6", rule<T, Relu6>()},
      {"leaky_relu", rule<T, LeakyRelu>()},
      {"elu", rule<T, Elu>()},
      {"selu", rule<T, Selu>()},
      {"celu", rule<T, Celu>()},
      {"gelu", curve<T, Curve::gelu>()},
      {"tanh_gelu", curve<T, Curve::tanh_gelu>()},
      {"silu", curve<T, Curve::silu>()},
      {"swish", curve<T, Curve::silu>()},
      {"mish", rule<T, Mish>()},
      {"sigmoid", curve<T, Curve::sigmoid>()},
      {"hard_sigmoid", rule<T, HardSigmoid>()},
      {"hard_silu", rule<T, HardSilu>()},
      {"hard_swish", rule<T, HardSilu>()},
      {"hard_tanh", rule<T, HardTanh>()},
      {"tanh", curve<T, Curve::tanh>()},
      {"tanh_shrink", rule<T, TanhShrink>()},
      {"softplus", rule<T, Softplus>()},
      {"softsign", rule<T, Softsign>()},
      {"exponential", rule<T, Exponential>()},
      {"exp", rule<T, Exponential>()},
      {"log_sigmoid", rule<T, LogSigmoid>()},
      {"squareplus", rule<T, Squareplus>()},
      {"soft_shrink", rule<T, SoftShrink>()},
      {"hard_shrink", rule<T, HardShrink>()},
      {"sparse_plus", rule<T, SparsePlus>()},
      {"sparse_sigmoid", rule<T, SparseSigmoid>()},
      {"threshold", rule<T, Threshold>()},
      {"negative", rule<T, Negative>()},
      {"abs", rule<T, Abs>()},
      {"square", rule<T, Square>()},
      {"sqrt", rule<T, Sqrt>()},
      {"log", rule<T, Log>()},
  };
  add_unary_rules(rules);
  return rules;
}

// Numbers `stride` apart.
template <class T> struct Line {
  T *data;
  Index stride;
  T &operator[](Index i) const { return data[i * stride]; }
};

template <class T> T largest(Line<const T> x, Index size) {
  T largest = x[0];
  for (Index i = 1; i < size; ++i)
    largest = x[i] > largest || std::isnan(x[i]) ? x[i] : largest;
  return largest;
}

template <class T> void softmax_line(Line<const T> x, Line<T> y, Index size, bool logarithm) {
  const T top = largest(x, size);
  double sum = 0;
  for (Index i = 0; i < size; ++i) {
    const T e = std::exp(x[i] - top);
    sum += static_cast<double>(e);
    if (!logarithm)
      y[i] = e;
  }
  const T factor = static_cast<T>(1 / sum), shift = static_cast<T>(std::log(sum));
  for (Index i = 0; i < size; ++i)
    y[i] = logarithm ? x[i] - top - shift : y[i] * factor;
}

// Martins and Astudillo 2016: y = max(x - tau, 0) with sum 1.
template <class T> void sparsemax_line(Line<const T> x, Line<T> y, Index size) {
  Buffer<T> sorted(size);
  for (Index i = 0; i < size; ++i)
    sorted[i] = x[i];
  const bool broken = std::any_of(sorted.data(), sorted.data() + size, [](T v) { return v != v; });
  if (!broken) // NaN has no place in an order
    std::sort(sorted.data(), sorted.data() + size, std::greater<T>());
  double sum = 0, tau = 0;
  for (Index k = 0; k < size; ++k) {
    sum += static_cast<double>(sorted[k]);
    if (1 + static_cast<double>(k + 1) * static_cast<double>(sorted[k]) > sum)
      tau = (sum - 1) / static_cast<double>(k + 1);
  }
  for (Index i = 0; i < size; ++i)
    y[i] = broken ? x[i] * T(NAN) : static_cast<T>(std::max(static_cast<double>(x[i]) - tau, 0.0));
}

// d_x = y (d_y - <d_y, y>), d_y - exp(y) sum(d_y), or d_y - mean(d_y) over the
// support.
template <class T>
void line_backward(AxisFunction function, Line<const T> y, Line<const T> d_y, Line<T> d_x,
                   bool accumulate, Index size) {
  double sum = 0, support = 0;
  for (Index i = 0; i < size; ++i) {
    const auto upstream = static_cast<double>(d_y[i]), value = static_cast<double>(y[i]);
    if (function == AxisFunction::softmax)
      sum += upstream * value;
    else if (function == AxisFunction::log_softmax || value > 0)
      sum += upstream;
    support += static_cast<double>(value > 0);
  }
  const T total = static_cast<T>(function == AxisFunction::sparsemax ? sum / support : sum);
  for (Index i = 0; i < size; ++i) {
    T d = d_y[i] - total;
    if (function == AxisFunction::softmax)
      d *= y[i];
    else if (function == AxisFunction::log_softmax)
      d = d_y[i] - std::exp(y[i]) * total;
    else if (!(y[i] > 0))
      d = 0;
    d_x[i] = accumulate ? d_x[i] + d : d;
  }
}

} // namespace

template <class T> const ElementRule<T> *find_element_rule(const std::string &name) {
  static const std::map<std::string, ElementRule<T>> rules = all_rules<T>();
  const auto found = rules.find(name);
  return found == rules.end() ? nullptr : &found->second;
}

template <class T>
void axis_function_forward(AxisFunction function, const T *x, T *y, Index outer, Index size,
                           Index inner, const Execution &execution) {
  for_row_parts(outer * inner, size, execution, [&](Index first, Index last) {
    for (Index line = first; line < last && size > 0; ++line) {
      const Index at = line / inner * size * inner + line % inner;
      if (function == AxisFunction::sparsemax)
        sparsemax_line<T>({x + at, inner}, {y + at, inner}, size);
      else
        softmax_line<T>({x + at, inner}, {y + at, inner}, size,
                        function == AxisFunction::log_softmax);
    }
  });
}

template <class T>
void axis_function_backward(AxisFunction function, const T *y, const T *d_y, T *d_x,
                            bool accumulate, Index outer, Index size, Index inner,
                            const Execution &execution) {
  for_row_parts(outer * inner, size, execution, [&](Index first, Index last) {
    for (Index line = first; line < last; ++line) {
      const Index at = line / inner * size * inner + line % inner;
      line_backward<T>(function, {y + at, inner}, {d_y + at, inner}, {d_x + at, inner}, accumulate,
                       size);
    }
  });
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template const ElementRule<T> *find_element_rule<T>(const std::string &);                        \
  template void axis_function_forward<T>(AxisFunction, const T *, T *, Index, Index, Index,        \
                                         const Execution &);                                       \
  template void axis_function_backward<T>(AxisFunction, const T *, const T *, T *, bool, Index,    \
                                          Index, Index, const Execution &);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
