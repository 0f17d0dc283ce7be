import { expect, test } from 'vitest'
import { isShared, isTopicFilterValid, isTopicNameValid, splitSharedFilter } from './topic.ts'

const isName = (text: string) => {
  const bytes = Buffer.from(`+${text}+`)
  return isTopicNameValid(bytes, 1, bytes.length - 1)
}

test.each([
  'a',
  '/',
  '/finance',
  'sport/tennis/player1',
  '$SYS/x',
  'Accounts payable',
  'é/😀',
  '//',
  '\ufeff',
])('%j names a topic and is a filter', (text) => {
  expect(isName(text)).toBe(true)
  expect(isTopicFilterValid(text)).toBe(true)
})

test.each(['', '+', '#', 'a/+', 'a/#', 'a+', 'a#b', 'a\0b'])('%j does not name a topic', (text) => {
  expect(isName(text)).toBe(false)
})

test('a name that is not UTF-8 is refused', () => {
  expect(isTopicNameValid(Uint8Array.of(0x61, 0xff), 0, 2)).toBe(false)
  expect(isTopicNameValid(Uint8Array.of(0x61, 0xc3, 0xa9), 0, 2)).toBe(false)
})

// Sections 4.7.1.2 and 4.7.1.3
test.each([
  '#',
  'sport/tennis/player1/#',
  'sport/#',
  '+',
  '+/tennis/#',
  'sport/+/player1',
  '/+',
  '+/+',
  '/#',
  '+/',
])('%j is a filter', (filter) => expect(isTopicFilterValid(filter)).toBe(true))

test.each([
  '',
  'sport/tennis#',
  'sport/tennis/#/ranking',
  'sport+',
  '+sport',
  'sport/+x/a',
  '##',
  '#/',
  '++',
  '#+',
])('%j is not a filter', (filter) => expect(isTopicFilterValid(filter)).toBe(false))

// Section 4.8.2
test.each([
  ['$share/group/a/+/#', { shareName: 'group', filter: 'a/+/#' }],
  ['$share/g//finance', { shareName: 'g', filter: '/finance' }],
  ['$share/g/#', { shareName: 'g', filter: '#' }],
])('%j is a shared filter', (text, parts) => {
  expect(isShared(text)).toBe(true)
  expect(splitSharedFilter(text)).toEqual(parts)
  expect(isTopicFilterValid(text)).toBe(true)
})

test.each(['$share/', '$share/g', '$share/g/', '$share//a', '$share/+/a', '$share/g#/a', '$share/g+/a'])(
  '%j is a shared filter of the wrong form',
  (text) => {
    expect(isShared(text)).toBe(true)
    expect(splitSharedFilter(text)).toBeNull()
    expect(isTopicFilterValid(text)).toBe(false)
  },
)

test('a shared filter is as invalid as the filter in it', () => {
  expect(isTopicFilterValid('$share/g/a/#/b')).toBe(false)
  expect(isShared('$shared/g/a')).toBe(false)
  expect(splitSharedFilter('a/b')).toBeNull()
})
