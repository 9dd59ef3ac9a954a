// Functions of sixteen float32 numbers.

#ifndef KEYTOKENS_VECTOR_MATH_H_
#define KEYTOKENS_VECTOR_MATH_H_

#include <cmath>

#include "lanes.h"

namespace keytokens {

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

// 2^t within 3e-7 of it, 0 below -150; NaN stays. The polynomial is a minimax fit on [-1/2, 1/2].
KEYTOKENS_INLINE Floats Exp2(Floats t) {
  t = Max(Set(-200.0f), t);  // a NaN, in second place, stays
  const Floats whole = Round(t), r = t - whole;
  Floats p = Set(1.32764713e-3f);
  for (const float c : {9.67554096e-3f, 5.55071309e-2f, 2.40221202e-1f, 6.93146944e-1f, 1.00000012f})
    p = MulAdd(p, r, Set(c));
  return Scale(p, whole);
}

KEYTOKENS_INLINE Floats PositivePart(Floats x) { return Max(Set(0.0f), x); }  // NaN stays

KEYTOKENS_INLINE Floats Silu(Floats x) { return x / (Set(1.0f) + Exp2(x * Set(-1.44269504f))); }

KEYTOKENS_INLINE Floats Evaluate(const EvenFunction& f, Floats x) {
  const Floats to_whole = Set(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
  Floats t = Abs(x) * Set(1.0f / f.width);
  t = Min(Set(EvenFunction::kPieces - 0.51f), t);  // a NaN, in second place, stays
  const Floats piece = t + to_whole;  // in the lowest five bits
  const Floats r = t - (piece - to_whole);
  Floats y = Lookup(f.coefficients[0], piece);
  for (int power = 1; power < 4; power++) y = MulAdd(y, r, Lookup(f.coefficients[power], piece));
  return y;
}

// 0.5 x (1 + erf(x / sqrt 2)), within 4e-7.
KEYTOKENS_INLINE Floats Gelu(Floats x) { return PositivePart(x) + Evaluate(kBesideGelu, x); }

// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), within 4e-7.
KEYTOKENS_INLINE Floats GeluTanh(Floats x) { return PositivePart(x) + Evaluate(kBesideGeluTanh, x); }

}  // namespace keytokens

#endif  // KEYTOKENS_VECTOR_MATH_H_
