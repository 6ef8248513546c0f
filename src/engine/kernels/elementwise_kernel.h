// Loops over numbers one by one; contracts in elementwise_table.h.

// c[0] + c[1] x + ...
template <class S, int kTerms>
ATTENTIVE_INLINE typename S::V polynomial(typename S::V x, const typename S::Scalar (&c)[kTerms]) {
  typename S::V p = S::set(c[kTerms - 1]);
  ATTENTIVE_UNROLL
  for (int i = kTerms - 2; i >= 0; --i)
    p = S::fma(p, x, S::set(c[i]));
  return p;
}

// x within [-c, c]; NaN stays. For a factor of what is 0 there already, which an infinite x
// would turn into NaN.
template <class S> ATTENTIVE_INLINE typename S::V within(typename S::V x, typename S::Scalar c) {
  const typename S::V low = S::set(-c);
  return S::sub(S::zero(), S::max(low, S::sub(S::zero(), S::max(low, x))));
}

template <class S> struct ReluCurve {
  using V = typename S::V;
  ATTENTIVE_INLINE V value(V x) { return S::max(S::zero(), x); }
  ATTENTIVE_INLINE V pull(V, V y, V d) { return S::keep_positive(d, y); }
};

template <class S> struct SigmoidCurve {
  using V = typename S::V;
  using T = typename S::Scalar;
  ATTENTIVE_INLINE V value(V x) {
    const V e = exp2_of<S>(S::mul(x, S::set(T(-1.4426950408889634))));
    return S::div(S::set(1), S::add(S::set(1), e));
  }
  ATTENTIVE_INLINE V pull(V, V y, V d) { return S::mul(d, S::mul(y, S::sub(S::set(1), y))); }
};

// x + x^3 p(x^2) up to 1/2, after Cephes by Moshier: relatively exact near 0.
template <class S> ATTENTIVE_INLINE typename S::V tanh_near_zero(typename S::V x, float) {
  const typename S::V z = S::mul(x, x);
  const typename S::Scalar c[5] = {-3.33332819422e-1f, 1.33314422036e-1f, -5.37397155531e-2f,
                                   2.06390887954e-2f, -5.70498872745e-3f};
  return S::fma(S::mul(x, z), polynomial<S>(z, c), x);
}
template <class S> ATTENTIVE_INLINE typename S::V tanh_near_zero(typename S::V x, double) {
  const typename S::V z = S::mul(x, x);
  const typename S::Scalar above[3] = {-1.61468768441708447952e3, -9.92877231001918586564e1,
                                       -9.64399179425052238628e-1};
  const typename S::Scalar below[4] = {4.84406305325125486048e3, 2.23548839060100448583e3,
                                       1.12811678491632931402e2, 1};
  const typename S::V r = S::div(polynomial<S>(z, above), polynomial<S>(z, below));
  return S::fma(S::mul(x, z), r, x);
}

// Both parts are always computed: x is cut to [-1/2, 1/2] in the first, and
// what the second adds is exactly 0 there.
template <class S> struct TanhCurve {
  using V = typename S::V;
  using T = typename S::Scalar;
  ATTENTIVE_INLINE V far(V x) {
    const V e = exp2_of<S>(S::mul(x, S::set(T(2.8853900817779268))));
    return S::sub(S::set(1), S::div(S::set(2), S::add(S::set(1), e)));
  }
  ATTENTIVE_INLINE V value(V x) {
    const V minus = S::sub(S::zero(), x), edge = S::set(T(0.5)), low = S::set(T(-0.5));
    const V cut = S::max(low, S::sub(S::zero(), S::max(low, minus)));
    const V beyond = S::sub(far(S::max(edge, S::max(x, minus))), far(edge));
    return S::fma(beyond, S::add(cut, cut), tanh_near_zero<S>(cut, T()));
  }
  ATTENTIVE_INLINE V pull(V, V y, V d) {
    return S::mul(d, S::mul(S::sub(S::set(1), y), S::add(S::set(1), y)));
  }
};

// The chance that a normal number is above a >= 0, divided by exp(-a^2 / 2): a
// polynomial in (a - k) / (a + k) over a + k, fitted to 7e-8 and 6e-16.
template <class S> ATTENTIVE_INLINE typename S::V scaled_tail(typename S::V a, float) {
  const typename S::Scalar c[10] = {
      0.7552851272f,   -0.6078965956f,  0.3871375595f,   -0.1865241843f,   0.06039531343f,
      -0.00752125553f, -0.00347619646f, 0.001575752081f, 0.0001293401231f, -0.0001626163157f};
  const typename S::V k = S::set(4), s = S::div(S::set(1), S::add(a, k));
  return S::mul(polynomial<S>(S::mul(S::sub(a, k), s), c), s);
}
template <class S> ATTENTIVE_INLINE typename S::V scaled_tail(typename S::V a, double) {
  const typename S::Scalar c[22] = {
      0.777351771893362,       -0.70100902959086579,    0.56896889181482933,
      -0.41390358577553837,    0.26797424583982653,     -0.1526802320665568,
      0.075171915697593736,    -0.030985315474856613,   0.010029820410271852,
      -0.0021316054801164077,  3.2871096474134613e-05,  0.0001813617268047767,
      -6.4755115841759595e-05, 1.0716271471337752e-06,  6.802033696895891e-06,
      -1.7920249938192579e-06, -4.358902228687673e-07,  3.010566453333525e-07,
      1.1580727415215178e-08,  -3.6591157747898249e-08, 8.3999922829945868e-10,
      2.7942048021613506e-09};
  const typename S::V k = S::set(6), s = S::div(S::set(1), S::add(a, k));
  return S::mul(polynomial<S>(S::mul(S::sub(a, k), s), c), s);
}

// x Phi(x) = max(x, 0) - |x| Phi(-|x|); the bell is 0 from 14 on, of doubles from 38
template <class S> struct GeluCurve {
  using V = typename S::V;
  using T = typename S::Scalar;
  ATTENTIVE_INLINE V bell(V x) { // exp(-x^2 / 2)
    return exp2_of<S>(S::mul(S::mul(x, x), S::set(T(-0.72134752044448170))));
  }
  ATTENTIVE_INLINE V value(V x) {
    const V cut = within<S>(x, 64), a = S::max(cut, S::sub(S::zero(), cut));
    const V tail = S::mul(bell(a), scaled_tail<S>(a, T()));
    return S::sub(S::max(S::zero(), x), S::mul(a, tail));
  }
  ATTENTIVE_INLINE V pull(V x, V, V d) { // d (Phi(x) + x phi(x))
    x = within<S>(x, 64);
    const V e = bell(x);
    const V tail = S::mul(e, scaled_tail<S>(S::max(x, S::sub(S::zero(), x)), T()));
    const V share = S::add(tail, S::keep_positive(S::sub(S::set(1), S::add(tail, tail)), x));
    return S::mul(d, S::fma(S::mul(x, e), S::set(T(0.39894228040143268)), share));
  }
};

// x (1 + tanh(r (x + c x^3))) / 2, r = sqrt(2 / pi); the tanh is 1 from 6 on
template <class S> struct TanhGeluCurve {
  using V = typename S::V;
  using T = typename S::Scalar;
  ATTENTIVE_INLINE V bent(V x) {
    const V factor = S::fma(S::mul(x, x), S::set(T(0.79788456080286536 * 0.044715)),
                            S::set(T(0.79788456080286536)));
    return TanhCurve<S>::value(S::mul(x, factor));
  }
  ATTENTIVE_INLINE V value(V x) {
    const V half = S::mul(S::max(S::set(-16), x), S::set(T(0.5)));
    return S::fma(half, bent(within<S>(x, 16)), half);
  }
  ATTENTIVE_INLINE V pull(V x, V, V d) {
    x = within<S>(x, 16);
    const V t = bent(x), half = S::set(T(0.5));
    const V inner = S::fma(S::mul(x, x), S::set(T(0.79788456080286536 * 3 * 0.044715)),
                           S::set(T(0.79788456080286536)));
    const V slope = S::mul(S::mul(S::sub(S::set(1), t), S::add(S::set(1), t)), S::mul(x, inner));
    return S::mul(d, S::mul(half, S::add(S::add(S::set(1), t), slope)));
  }
};

// The sigmoid is 0 and 1 from 89 on, of doubles from 710.
template <class S> struct SiluCurve {
  using V = typename S::V;
  ATTENTIVE_INLINE V value(V x) {
    return S::mul(S::max(S::set(-1024), x), SigmoidCurve<S>::value(x));
  }
  ATTENTIVE_INLINE V pull(V x, V y, V d) {
    const V s = SigmoidCurve<S>::value(x);
    return S::mul(d, S::fma(within<S>(y, 1024), S::sub(S::set(1), s), s));
  }
};

template <class S, class F>
void curve_forward(const typename S::Scalar *x, typename S::Scalar *y, Index n) {
  Index i = 0;
  for (; i + S::kLanes <= n; i += S::kLanes)
    S::store(y + i, F::value(S::load(x + i)));
  const int rest = static_cast<int>(n - i);
  if (rest > 0)
    S::store_first(y + i, F::value(S::load_first(x + i, rest)), rest);
}

// kLanes numbers, or the first n of them.
template <class S, bool kWhole>
ATTENTIVE_INLINE typename S::V fetch(const typename S::Scalar *p, int n) {
  return kWhole ? S::load(p) : S::load_first(p, n);
}

// y[n] (+)= F::at(from, i, ...), a vector at a time.
template <class S, class F>
ATTENTIVE_INLINE void write_vectors(const typename F::From &from, typename S::Scalar *y, Index n,
                                    bool accumulate) {
  Index i = 0;
  if (accumulate)
    for (; i + S::kLanes <= n; i += S::kLanes)
      S::store(y + i, S::add(S::load(y + i), F::template at<true>(from, i, S::kLanes)));
  else
    for (; i + S::kLanes <= n; i += S::kLanes)
      S::store(y + i, F::template at<true>(from, i, S::kLanes));
  const int rest = static_cast<int>(n - i);
  if (rest == 0)
    return;
  typename S::V last = F::template at<false>(from, i, rest);
  if (accumulate)
    last = S::add(S::load_first(y + i, rest), last);
  S::store_first(y + i, last, rest);
}

template <class S, class C> struct CurveGradient {
  using T = typename S::Scalar;
  struct From {
    const T *x, *y, *d_y;
  };
  template <bool kWhole> ATTENTIVE_INLINE typename S::V at(const From &from, Index i, int n) {
    return C::pull(fetch<S, kWhole>(from.x + i, n), fetch<S, kWhole>(from.y + i, n),
                   fetch<S, kWhole>(from.d_y + i, n));
  }
};
template <class S, class C>
void curve_backward(const typename S::Scalar *x, const typename S::Scalar *y,
                    const typename S::Scalar *d_y, typename S::Scalar *d_x, Index n,
                    bool accumulate) {
  write_vectors<S, CurveGradient<S, C>>({x, y, d_y}, d_x, n, accumulate);
}

template <class S> struct Product {
  struct From {
    const typename S::Scalar *a, *b;
  };
  template <bool kWhole> ATTENTIVE_INLINE typename S::V at(const From &from, Index i, int n) {
    return S::mul(fetch<S, kWhole>(from.a + i, n), fetch<S, kWhole>(from.b + i, n));
  }
};
template <class S>
void multiply_numbers(const typename S::Scalar *a, const typename S::Scalar *b,
                      typename S::Scalar *y, Index n, bool accumulate) {
  write_vectors<S, Product<S>>({a, b}, y, n, accumulate);
}

template <class S> struct Multiple {
  using T = typename S::Scalar;
  struct From {
    const T *x;
    const std::uint32_t *kept; // null: all
    T factor;
  };
  template <bool kWhole> ATTENTIVE_INLINE typename S::V at(const From &from, Index i, int n) {
    const typename S::V v = S::mul(fetch<S, kWhole>(from.x + i, n), S::set(from.factor));
    return from.kept == nullptr ? v : S::keep(v, from.kept[i / 32] >> (i % 32));
  }
};
template <class S>
void scale_numbers(const typename S::Scalar *x, typename S::Scalar factor, typename S::Scalar *y,
                   Index n, bool accumulate) {
  write_vectors<S, Multiple<S>>({x, nullptr, factor}, y, n, accumulate);
}
template <class S>
void keep_numbers(const typename S::Scalar *x, const std::uint32_t *kept, typename S::Scalar factor,
                  typename S::Scalar *y, Index n, bool accumulate) {
  write_vectors<S, Multiple<S>>({x, kept, factor}, y, n, accumulate);
}

template <class S, class C> CurveKernels<typename S::Scalar> curve_kernels() {
  CurveKernels<typename S::Scalar> table;
  table.forward = curve_forward<S, C>;
  table.backward = curve_backward<S, C>;
  return table;
}

template <class S> ElementwiseKernels<typename S::Scalar> elementwise_kernels() {
  ElementwiseKernels<typename S::Scalar> table;
  table.curves[static_cast<int>(Curve::relu)] = curve_kernels<S, ReluCurve<S>>();
  table.curves[static_cast<int>(Curve::sigmoid)] = curve_kernels<S, SigmoidCurve<S>>();
  table.curves[static_cast<int>(Curve::tanh)] = curve_kernels<S, TanhCurve<S>>();
  table.curves[static_cast<int>(Curve::gelu)] = curve_kernels<S, GeluCurve<S>>();
  table.curves[static_cast<int>(Curve::tanh_gelu)] = curve_kernels<S, TanhGeluCurve<S>>();
  table.curves[static_cast<int>(Curve::silu)] = curve_kernels<S, SiluCurve<S>>();
  table.multiply = multiply_numbers<S>;
  table.scale = scale_numbers<S>;
  table.keep = keep_numbers<S>;
  return table;
}
