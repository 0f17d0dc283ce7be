/**
 * How many columns of a terminal a text takes: 2 for wide letters and emoji, 0 for marks that join the one
 * before.
 */

/** Hangul, CJK, Yi and full-width forms. */
const WIDE_LETTERS = [
  '\\u1100-\\u115f\\u2e80-\\u303e\\u3041-\\u33ff\\u3400-\\u4dbf\\u4e00-\\u9fff\\ua000-\\ua4cf\\uac00-\\ud7a3',
  '\\uf900-\\ufaff\\ufe30-\\ufe4f\\uff00-\\uff60\\uffe0-\\uffe6\\u{20000}-\\u{3fffd}',
].join('')
/** The last is the mark that asks for the emoji's form of a character. */
const WIDE = new RegExp(`\\p{Emoji_Presentation}|[${WIDE_LETTERS}]|\\ufe0f`, 'u')
const WIDTHLESS = /^[\p{Mn}\p{Me}\p{Cf}]+$/u
const ASCII = /^[\x20-\x7e]*$/

const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' })

export function textWidth(text: string): number {
  if (ASCII.test(text)) return text.length
  let width = 0
  for (const { segment } of segmenter.segment(text)) width += graphemeWidth(segment)
  return width
}

/** The text cut to `widthMax` columns, with an ellipsis where something is missing. */
export function cutToWidth(text: string, widthMax: number): string {
  if (textWidth(text) <= widthMax) return text
  let cut = ''
  let width = 1
  for (const { segment } of segmenter.segment(text)) {
    width += graphemeWidth(segment)
    if (width > widthMax) break
    cut += segment
  }
  return `${cut}…`
}

function graphemeWidth(grapheme: string): number {
  if (WIDTHLESS.test(grapheme)) return 0
  return WIDE.test(grapheme) ? 2 : 1
}
