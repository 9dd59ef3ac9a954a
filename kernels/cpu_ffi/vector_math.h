// Functions of sixteen float32 numbers.

#ifndef KEYTOKENS_VECTOR_MATH_H_
#define KEYTOKENS_VECTOR_MATH_H_

#include <cmath>

#if defined(__x86_64__)
#include <immintrin.h>

namespace keytokens {

#define KEYTOKENS_INLINE inline __attribute__((always_inline))

// An even function from 0 on, cubic polynomials in pieces of `width` around its multiples, 31 of them; beyond, constant.
// (Between Chebyshev's nodes: the two below are within 3e-7.)
struct EvenFunction {
  static constexpr int kPieces = 32;
  float width;
  alignas(64) float coefficients[4][kPieces];  // of the highest power first

  template <class F>
  EvenFunction(float width, F f) : width(width) {
    constexpr double kPi = 3.14159265358979323846;
    for (int piece = 0; piece < kPieces; piece++) {
      double a[4] = {};  // of Chebyshev's polynomials on [-1/2, 1/2]
      for (int node = 0; node < 4; node++) {
        const double angle = kPi * (node + 0.5) / 4, value = f(width * (piece + 0.5 * std::cos(angle)));
        for (int power = 0; power < 4; power++) a[power] += (power ? 0.5 : 0.25) * value * std::cos(power * angle);
      }
      coefficients[0][piece] = static_cast<float>(32 * a[3]);
      coefficients[1][piece] = static_cast<float>(8 * a[2]);
      coefficients[2][piece] = static_cast<float>(2 * a[1] - 6 * a[3]);
      coefficients[3][piece] = static_cast<float>(a[0] - a[2]);
    }
  }
};

// What x times a sigmoid of x has beside max(x, 0): -|x| times the sigmoid of -|x|.
inline const EvenFunction kBesideGelu(0.18f, [](double x) { return -0.5 * x * std::erfc(x * std::sqrt(0.5)); });
inline const EvenFunction kBesideGeluTanh(0.18f, [](double x) {
  return -x / (1 + std::exp(1.5957691216057308 * (x + 0.044715 * x * x * x)));
});

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,prfchw,prefer-vector-width=512")

// 2^t within 3e-7 of it, 0 below -150; NaN stays. The polynomial is a minimax fit on [-1/2, 1/2].
KEYTOKENS_INLINE __m512 Exp2(__m512 t) {
  t = _mm512_max_ps(_mm512_set1_ps(-200.0f), t);  // a NaN, in second place, stays
  const __m512 whole = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_sub_ps(t, whole);
  __m512 p = _mm512_set1_ps(1.32764713e-3f);
  for (const float c : {9.67554096e-3f, 5.55071309e-2f, 2.40221202e-1f, 6.93146944e-1f, 1.00000012f})
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
  return _mm512_scalef_ps(p, whole);
}

KEYTOKENS_INLINE __m512 PositivePart(__m512 x) { return _mm512_max_ps(_mm512_setzero_ps(), x); }  // NaN stays

KEYTOKENS_INLINE __m512 Silu(__m512 x) {
  const __m512 power = Exp2(_mm512_mul_ps(x, _mm512_set1_ps(-1.44269504f)));
  return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), power));
}

KEYTOKENS_INLINE __m512 Evaluate(const EvenFunction& f, __m512 x) {
  const __m512 to_whole = _mm512_set1_ps(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
  __m512 t = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(1.0f / f.width));
  t = _mm512_min_ps(_mm512_set1_ps(EvenFunction::kPieces - 0.51f), t);  // a NaN, in second place, stays
  const __m512 shifted = _mm512_add_ps(t, to_whole);
  const __m512 r = _mm512_sub_ps(t, _mm512_sub_ps(shifted, to_whole));
  const __m512i piece = _mm512_castps_si512(shifted);  // its lowest five bits
  const auto coefficient = [&](int power) {
    const float* all = f.coefficients[power];
    return _mm512_permutex2var_ps(_mm512_load_ps(all), piece, _mm512_load_ps(all + 16));
  };
  __m512 y = coefficient(0);
  for (int power = 1; power < 4; power++) y = _mm512_fmadd_ps(y, r, coefficient(power));
  return y;
}

// 0.5 x (1 + erf(x / sqrt 2)), within 4e-7.
KEYTOKENS_INLINE __m512 Gelu(__m512 x) { return _mm512_add_ps(PositivePart(x), Evaluate(kBesideGelu, x)); }

// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), within 4e-7.
KEYTOKENS_INLINE __m512 GeluTanh(__m512 x) { return _mm512_add_ps(PositivePart(x), Evaluate(kBesideGeluTanh, x)); }

#pragma GCC pop_options

}  // namespace keytokens
#endif

#endif  // KEYTOKENS_VECTOR_MATH_H_
