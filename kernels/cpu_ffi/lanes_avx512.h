// See lanes.h: for x86 with AVX-512 VNNI.

#ifndef KEYTOKENS_LANES_AVX512_H_
#define KEYTOKENS_LANES_AVX512_H_

#include <immintrin.h>

namespace keytokens {

constexpr bool kNarrow = false;

using Floats = __m512;   // float32; + - * / are the compiler's
using Ints = __m512i;    // int32
using Mask = __mmask16;  // a bit a lane

KEYTOKENS_INLINE Floats Set(float x) { return _mm512_set1_ps(x); }
KEYTOKENS_INLINE Ints SetInt(int32_t x) { return _mm512_set1_epi32(x); }

KEYTOKENS_INLINE Floats Load(const float* x) { return _mm512_loadu_ps(x); }
KEYTOKENS_INLINE Ints LoadInts(const void* x) { return _mm512_loadu_si512(x); }
KEYTOKENS_INLINE void Store(float* to, Floats x) { _mm512_storeu_ps(to, x); }
KEYTOKENS_INLINE void StoreInts(void* to, Ints x) { _mm512_storeu_si512(to, x); }

// The first n lanes; none where n is negative, all from 16 on.
KEYTOKENS_INLINE Mask First(int64_t n) { return static_cast<Mask>(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1); }
KEYTOKENS_INLINE Mask And(Mask a, Mask b) { return a & b; }
KEYTOKENS_INLINE Mask AndNot(Mask a, Mask b) { return a & ~b; }
KEYTOKENS_INLINE uint32_t Bits(Mask mask) { return mask; }
KEYTOKENS_INLINE Floats Select(Mask mask, Floats where, Floats elsewhere) {
  return _mm512_mask_mov_ps(elsewhere, mask, where);
}
KEYTOKENS_INLINE Ints Select(Mask mask, Ints where, Ints elsewhere) {
  return _mm512_mask_mov_epi32(elsewhere, mask, where);
}

// The first n numbers, read or written alone; zeros for the others.
KEYTOKENS_INLINE Floats LoadFirst(const float* x, int64_t n) { return _mm512_maskz_loadu_ps(First(n), x); }
KEYTOKENS_INLINE Floats LoadFirst(const uint16_t* x, int64_t n) {  // bfloat16
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(First(n), x)), 16));
}
KEYTOKENS_INLINE Ints LoadFirstInts(const void* x, int64_t n) { return _mm512_maskz_loadu_epi32(First(n), x); }
KEYTOKENS_INLINE void StoreFirst(float* to, Floats x, int64_t n) { _mm512_mask_storeu_ps(to, First(n), x); }

// As int16, saturated.
KEYTOKENS_INLINE void StoreShorts(int16_t* to, Ints x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtsepi32_epi16(x));
}
KEYTOKENS_INLINE void StoreFirstShorts(int16_t* to, Ints x, int64_t n) {
  _mm256_mask_storeu_epi16(to, First(n), _mm512_cvtsepi32_epi16(x));
}

// Comparisons are false for NaN.
KEYTOKENS_INLINE Mask Greater(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
KEYTOKENS_INLINE Mask GreaterEqual(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
KEYTOKENS_INLINE Mask Equal(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
KEYTOKENS_INLINE Mask IsNan(Floats x) { return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q); }

// b where one of them is NaN.
KEYTOKENS_INLINE Floats Max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
KEYTOKENS_INLINE Floats Min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
KEYTOKENS_INLINE Ints MaxInts(Ints a, Ints b) { return _mm512_max_epi32(a, b); }

KEYTOKENS_INLINE Floats MulAdd(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }  // a b + c
KEYTOKENS_INLINE Floats Abs(Floats x) { return _mm512_abs_ps(x); }
KEYTOKENS_INLINE Floats Sqrt(Floats x) { return _mm512_sqrt_ps(x); }
// The nearest whole number, the even one of two; x no larger than 2^22.
KEYTOKENS_INLINE Floats Round(Floats x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
KEYTOKENS_INLINE Ints RoundToInts(Floats x) { return _mm512_cvtps_epi32(x); }
KEYTOKENS_INLINE Floats ToFloats(Ints x) { return _mm512_cvtepi32_ps(x); }
// x 2^n of whole n from -200 to 200.
KEYTOKENS_INLINE Floats Scale(Floats x, Floats n) { return _mm512_scalef_ps(x, n); }

// Of 32 numbers, aligned, those that the lowest five bits of x say.
KEYTOKENS_INLINE Floats Lookup(const float* table, Floats x) {
  return _mm512_permutex2var_ps(_mm512_load_ps(table), _mm512_castps_si512(x), _mm512_load_ps(table + 16));
}

KEYTOKENS_INLINE float FirstLane(Floats x) { return _mm512_cvtss_f32(x); }
KEYTOKENS_INLINE float Sum(Floats x) { return _mm512_reduce_add_ps(x); }
KEYTOKENS_INLINE float Largest(Floats x) { return _mm512_reduce_max_ps(x); }
KEYTOKENS_INLINE float Least(Floats x) { return _mm512_reduce_min_ps(x); }
KEYTOKENS_INLINE int32_t LargestInt(Ints x) { return _mm512_reduce_max_epi32(x); }

// The sums of the lanes of each vector, one after the other.
KEYTOKENS_INLINE Floats LaneSums(Floats (&rows)[16]) {
  const auto as_pairs = [](__m512 v) { return _mm512_castps_pd(v); };
  const auto as_singles = [](__m512d v) { return _mm512_castpd_ps(v); };
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++)
    rows[i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]) + _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    const __m512d a = as_pairs(rows[2 * i]), b = as_pairs(rows[2 * i + 1]);
    rows[i] = as_singles(_mm512_unpacklo_pd(a, b)) + as_singles(_mm512_unpackhi_pd(a, b));
  }
  const auto quarters = [](__m512 a, __m512 b) {
    return _mm512_shuffle_f32x4(a, b, 0x88) + _mm512_shuffle_f32x4(a, b, 0xdd);
  };
  return quarters(quarters(rows[0], rows[1]), quarters(rows[2], rows[3]));
}

// Sixteen vectors of sixteen integers, transposed.
KEYTOKENS_INLINE void Transpose(Ints (&rows)[16]) {
  __m512i other[16];
  for (int i = 0; i < 16; i += 2) {  // pairs of rows: other[i], other[i + 1] hold columns 4 j, 4 j + 1 and 4 j + 2, 4 j + 3
    other[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    other[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4)  // four rows: rows[i + c] holds columns 4 j + c
    for (int c = 0; c < 2; c++) {
      rows[i + 2 * c] = _mm512_unpacklo_epi64(other[i + c], other[i + 2 + c]);
      rows[i + 2 * c + 1] = _mm512_unpackhi_epi64(other[i + c], other[i + 2 + c]);
    }
  for (int c = 0; c < 4; c++) {
    const __m512i even01 = _mm512_shuffle_i32x4(rows[c], rows[4 + c], 0x88);
    const __m512i odd01 = _mm512_shuffle_i32x4(rows[c], rows[4 + c], 0xdd);
    const __m512i even23 = _mm512_shuffle_i32x4(rows[8 + c], rows[12 + c], 0x88);
    const __m512i odd23 = _mm512_shuffle_i32x4(rows[8 + c], rows[12 + c], 0xdd);
    other[c] = _mm512_shuffle_i32x4(even01, even23, 0x88);
    other[8 + c] = _mm512_shuffle_i32x4(even01, even23, 0xdd);
    other[4 + c] = _mm512_shuffle_i32x4(odd01, odd23, 0x88);
    other[12 + c] = _mm512_shuffle_i32x4(odd01, odd23, 0xdd);
  }
  for (int i = 0; i < 16; i++) rows[i] = other[i];
}

// Writes the numbers of the lanes in the mask side by side; what follows them in 16 places is any number.
KEYTOKENS_INLINE void StorePicked(float* to, Mask mask, Floats x) { Store(to, _mm512_maskz_compress_ps(mask, x)); }
KEYTOKENS_INLINE void StorePicked(int32_t* to, Mask mask, Ints x) {
  StoreInts(to, _mm512_maskz_compress_epi32(mask, x));
}

// acc += a b, of pairs of int16 exactly, and of floats. In assembler: with the intrinsics, GCC 12 may keep accumulators
// in memory, at half of the speed.
KEYTOKENS_INLINE void AddProducts(Ints& acc, Ints a, Ints b) { asm("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b)); }
KEYTOKENS_INLINE void AddProducts(Floats& acc, Floats a, Floats b) {
  asm("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
}

}  // namespace keytokens

#endif  // KEYTOKENS_LANES_AVX512_H_
