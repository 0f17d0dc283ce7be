import { describe, expect, test } from 'vitest'
import { parseRecording, RecordingError, readRecordings } from './recordings.ts'

describe('recordings', () => {
  const recordings = readRecordings()

  test('every file parses, with distinct names that fit a topic level', () => {
    expect(recordings.length).toBe(29)
    expect(new Set(recordings.map((recording) => recording.name)).size).toBe(29)
    for (const { name, tsMs, value } of recordings) {
      expect(name).toMatch(/^[A-Za-z0-9_-]+$/)
      expect(tsMs.length).toBeGreaterThan(1000)
      expect(value.length).toBe(tsMs.length)
      let backwards = 0
      for (let row = 1; row < tsMs.length; row++) if (tsMs[row] < tsMs[row - 1]) backwards++
      expect(backwards, name).toBeLessThan(20)
    }
  })

  test('reads the values that the file holds', () => {
    const machine = recordings.find(({ name }) => name === 'machine_temperature_system_failure')
    expect(machine?.category).toBe('realKnownCause')
    expect(machine?.tsMs.length).toBe(22_695)
    expect(machine?.tsMs[0]).toBe(Date.UTC(2013, 11, 2, 21, 15))
    expect(machine?.value[0]).toBe(73.96732207)
  })

  test('refuses what is not a recording, naming the line', () => {
    const bad = ['', 'time,value\n', 'timestamp,value\n', 'timestamp,value\n2014-01-01 00:00:00,\n']
    const rows = [
      '2014-01-01 00:00:00,1,2',
      '2014-13-01 00:00:00,1',
      '2014-01-01,1',
      '2014-01-01 00:00:00,NaN',
      '',
    ]
    for (const text of bad) expect(() => parseRecording(text, 'x.csv')).toThrow(RecordingError)
    for (const row of rows) {
      const text = `timestamp,value\n2014-01-01 00:00:00,1\n${row}\n`
      expect(() => parseRecording(text, 'x.csv'), row).toThrow(/x\.csv:3/)
    }
  })
})
