import { expect, test } from 'vitest'
import { AssertionError, assert } from './assert.ts'

test('a true condition passes', () => {
  expect(() => assert(true, 'never said')).not.toThrow()
})

test('a false condition throws the typed error with its message', () => {
  const run = (): void => assert(false, 'the ring holds what it was given')
  expect(run).toThrow(AssertionError)
  expect(run).toThrow(
    expect.objectContaining({ code: 'ASSERTION', message: 'the ring holds what it was given' }),
  )
})
