/** The engine's figures as Prometheus reads them (text format 0.0.4), units in the names. */
import type { GatewayStatus } from '../gateway/gateway-counters.ts'
import type { PasswordFigures } from '../registry/registry-keeper.ts'
import type { SessionsStatus } from '../sessions/sessions-thread.ts'
import type { EngineStatus, StatusBoard } from '../status.ts'

type Labels = Record<string, string | number>

const QUANTILES = [0.5, 0.9, 0.99, 0.999]

export function formatMetrics(board: StatusBoard, passwords: PasswordFigures): string {
  const status = board.summary()
  const page = new Page()
  gatewayMetrics(page, status)
  shardMetrics(page, status)
  if (status.sessions !== null) sessionMetrics(page, status.sessions)
  page.family(
    'millrace_puback_latency_seconds',
    'summary',
    'From the socket read of a PUBLISH to its PUBACK.',
  )
  const latencies = board.latencies()
  for (const quantile of latencies === null ? [] : QUANTILES) {
    page.sample(
      'millrace_puback_latency_seconds',
      { quantile },
      (latencies?.getValueAtPercentile(quantile * 100) ?? 0) / 1e6,
    )
  }
  page.sample(
    'millrace_puback_latency_seconds_sum',
    {},
    ((latencies?.mean ?? 0) * (latencies?.totalCount ?? 0)) / 1e6,
  )
  page.sample('millrace_puback_latency_seconds_count', {}, latencies?.totalCount ?? 0)
  page.family(
    'millrace_passwords_verified_total',
    'counter',
    'Passwords verified, by hashing or from memory.',
  )
  for (const [how, count] of Object.entries(passwords))
    page.sample('millrace_passwords_verified_total', { how }, count)
  page.one('millrace_uptime_seconds', 'gauge', 'Time since the engine started.', status.uptimeMs / 1000)
  page.one(
    'process_resident_memory_bytes',
    'gauge',
    'Resident memory of the engine process.',
    process.memoryUsage.rss(),
  )
  const cpu = process.cpuUsage()
  page.one(
    'process_cpu_seconds_total',
    'counter',
    'CPU time of the engine process.',
    (cpu.user + cpu.system) / 1e6,
  )
  page.family('millrace_thread_cpu_seconds_total', 'counter', 'CPU time of a worker thread.')
  for (const [thread, seconds] of board.threadCpuSeconds) {
    page.sample('millrace_thread_cpu_seconds_total', { thread }, seconds)
  }
  return page.text()
}

function gatewayMetrics(page: Page, { gateways }: EngineStatus): void {
  page.each(
    'millrace_connections',
    'gauge',
    'Open device connections.',
    gateways,
    'gateway',
    (g) => g.connections,
  )
  page.each(
    'millrace_paused_connections',
    'gauge',
    'Connections that are not read at the moment.',
    gateways,
    'gateway',
    (g) => g.pausedConnections,
  )
  page.each(
    'millrace_connects_queued_total',
    'counter',
    'Connects that had to wait, because more came in a second than are taken in.',
    gateways,
    'gateway',
    (g) => g.connectsQueued,
  )
  page.each(
    'millrace_slowed_reads_total',
    'counter',
    'Times that a connection sent more than its budget and its reading was slowed.',
    gateways,
    'gateway',
    (g) => g.readsSlowed,
  )
  page.each(
    'millrace_connects_accepted_total',
    'counter',
    'Accepted connects.',
    gateways,
    'gateway',
    (g) => g.connectsAccepted,
  )
  page.eachBy(
    'millrace_connects_refused_total',
    'counter',
    'Refused connects by reason.',
    gateways,
    (g) => g.connectsRefusedByReason,
  )
  page.eachBy(
    'millrace_publishes_refused_total',
    'counter',
    'Messages of topics that their client may not publish to, by reason.',
    gateways,
    (g) => g.publishesRefusedByReason,
  )
  page.eachBy(
    'millrace_subscriptions_refused_total',
    'counter',
    'Filters that their client may not subscribe to, by reason.',
    gateways,
    (g) => g.subscriptionsRefusedByReason,
  )
  page.each(
    'millrace_received_bytes_total',
    'counter',
    'Bytes received from devices.',
    gateways,
    'gateway',
    (g) => g.bytesReceived,
  )
  page.each(
    'millrace_sent_bytes_total',
    'counter',
    'Bytes sent to MQTT clients.',
    gateways,
    'gateway',
    (g) => g.bytesSent,
  )
  page.each(
    'millrace_acknowledged_messages_total',
    'counter',
    'Messages acknowledged after their sync.',
    gateways,
    'gateway',
    (g) => g.acknowledged,
  )
  page.each(
    'millrace_unmatched_messages_total',
    'counter',
    'Messages of topics that no stream takes.',
    gateways,
    'gateway',
    (g) => g.unmatched,
  )
  page.each(
    'millrace_delivered_messages_total',
    'counter',
    'Messages delivered to subscribers.',
    gateways,
    'gateway',
    (g) => g.delivered,
  )
  page.family(
    'millrace_delivery_dropped_messages_total',
    'counter',
    'Messages that a subscriber did not get.',
  )
  gateways.forEach(({ deliveryDropped: { full, tooLarge, expired } }, index) => {
    for (const [reason, count] of [
      ['full', full],
      ['too-large', tooLarge],
      ['expired', expired],
    ] as const) {
      page.sample('millrace_delivery_dropped_messages_total', { gateway: index, reason }, count)
    }
  })
  page.family('millrace_received_messages_total', 'counter', 'Messages received from devices.')
  gateways.forEach((gateway, index) => {
    gateway.messagesReceived.forEach((count, qos) => {
      page.sample('millrace_received_messages_total', { gateway: index, qos }, count)
    })
  })
  page.eachBy(
    'millrace_disconnects_total',
    'counter',
    'Closed connections by reason.',
    gateways,
    (g) => g.disconnectsByReason,
  )
}

function shardMetrics(page: Page, { shards }: EngineStatus): void {
  page.each('millrace_readings_total', 'counter', 'Readings decoded.', shards, 'shard', (s) => s.readings)
  page.each(
    'millrace_dead_letters_total',
    'counter',
    'Messages that could not be decoded.',
    shards,
    'shard',
    (s) => s.deadLetters,
  )
  page.each(
    'millrace_duplicate_messages_total',
    'counter',
    'Messages that were redelivered and not stored again.',
    shards,
    'shard',
    (s) => s.duplicates,
  )
  page.each(
    'millrace_stored_rows_total',
    'counter',
    'Rows that ClickHouse has confirmed.',
    shards,
    'shard',
    (s) => s.rowsStored,
  )
  page.each('millrace_devices', 'gauge', 'Devices seen since the start.', shards, 'shard', (s) => s.devices)
  page.each(
    'millrace_series',
    'gauge',
    'Series (device and metric) seen since the start.',
    shards,
    'shard',
    (s) => s.series,
  )
  page.each('millrace_open_windows', 'gauge', 'Windows that are open.', shards, 'shard', (s) => s.windowsOpen)
  page.each(
    'millrace_late_readings_total',
    'counter',
    'Readings of windows that had closed; they amend them.',
    shards,
    'shard',
    (s) => s.readingsLate,
  )
  page.each(
    'millrace_ahead_readings_total',
    'counter',
    'Readings beyond the ahead guard.',
    shards,
    'shard',
    (s) => s.readingsAhead,
  )
  page.each(
    'millrace_points_total',
    'counter',
    'Points of downsampled readings, with those that replace others.',
    shards,
    'shard',
    (s) => s.points,
  )
  page.each(
    'millrace_alerts_total',
    'counter',
    'Changes of episodes: raised, updated, cleared.',
    shards,
    'shard',
    (s) => s.alerts,
  )
  page.each(
    'millrace_open_episodes',
    'gauge',
    'Episodes that are open.',
    shards,
    'shard',
    (s) => s.episodesOpen,
  )
  page.each(
    'millrace_detected_series',
    'gauge',
    'Series that detectors learn.',
    shards,
    'shard',
    (s) => s.detectedSeries,
  )
  page.each(
    'millrace_detected_series_refused_total',
    'counter',
    'Series that detectors have no room for (limits.detectedSeriesMax).',
    shards,
    'shard',
    (s) => s.detectedSeriesRefused,
  )
  page.each(
    'millrace_not_judged_readings_total',
    'counter',
    'Readings that detectors did not judge: late, incomplete, or no numbers.',
    shards,
    'shard',
    (s) => s.readingsNotJudged,
  )
  page.each(
    'millrace_backlog_bytes',
    'gauge',
    'Journalled and not yet confirmed by ClickHouse.',
    shards,
    'shard',
    (s) => s.backlogSizeBytes,
  )
  page.each(
    'millrace_journal_bytes',
    'gauge',
    'Size of the journal.',
    shards,
    'shard',
    (s) => s.journalSizeBytes,
  )
  page.each(
    'millrace_journal_syncs_total',
    'counter',
    'Syncs of the journal.',
    shards,
    'shard',
    (s) => s.syncs,
  )
  page.each(
    'millrace_journal_sync_seconds_total',
    'counter',
    'Time that syncs took.',
    shards,
    'shard',
    (s) => s.syncTotalUs / 1e6,
  )
  page.each(
    'millrace_inserts_total',
    'counter',
    'Inserts into ClickHouse.',
    shards,
    'shard',
    (s) => s.inserts,
  )
  page.each(
    'millrace_insert_retries_total',
    'counter',
    'Inserts that were tried again.',
    shards,
    'shard',
    (s) => s.insertRetries,
  )
}

function sessionMetrics(page: Page, status: SessionsStatus): void {
  const { dropped } = status
  const gauges: [name: string, help: string, value: number][] = [
    ['sessions', 'Sessions that are kept, or have a will.', status.sessions],
    ['connected_sessions', 'Those of them whose client is connected.', status.sessionsConnected],
    ['queued_messages', 'Messages of QoS 1 and 2 that wait for sessions.', status.queuedMessages],
    ['queued_bytes', 'Their bytes; a message counts once.', status.queuedSizeBytes],
    ['retained_messages', 'Retained messages.', status.retainedMessages],
    ['retained_bytes', 'Their bytes.', status.retainedSizeBytes],
    ['pending_wills', 'Wills whose delay is not over.', status.willsPending],
    ['shared_subscriptions', 'Shared subscriptions that have a member.', status.sharedGroups],
    ['session_journal_bytes', "Size of the sessions' journal.", status.journalSizeBytes],
  ]
  for (const [name, help, value] of gauges) page.one(`millrace_${name}`, 'gauge', help, value)
  const syncs = "Syncs of the sessions' journal."
  page.one('millrace_session_journal_syncs_total', 'counter', syncs, status.syncs)
  page.family(
    'millrace_session_dropped_messages_total',
    'counter',
    'Messages that a session did not get, by reason.',
  )
  for (const [reason, count] of Object.entries(dropped)) {
    page.sample('millrace_session_dropped_messages_total', { reason }, count)
  }
}

class Page {
  #lines: string[] = []

  family(name: string, type: string, help: string): void {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
  }

  sample(name: string, labels: Labels, value: number): void {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(String(text))}"`)
    this.#lines.push(`${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}`)
  }

  one(name: string, type: string, help: string, value: number): void {
    this.family(name, type, help)
    this.sample(name, {}, value)
  }

  each<T>(
    name: string,
    type: string,
    help: string,
    entries: readonly T[],
    label: string,
    figure: (entry: T) => number,
  ): void {
    this.family(name, type, help)
    entries.forEach((entry, index) => {
      this.sample(name, { [label]: index }, figure(entry))
    })
  }

  /** By gateway and reason. */
  eachBy(
    name: string,
    type: string,
    help: string,
    gateways: readonly GatewayStatus[],
    figures: (gateway: GatewayStatus) => Record<string, number>,
  ): void {
    this.family(name, type, help)
    gateways.forEach((gateway, index) => {
      for (const [reason, count] of Object.entries(figures(gateway)))
        this.sample(name, { gateway: index, reason }, count)
    })
  }

  text(): string {
    return `${this.#lines.join('\n')}\n`
  }
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
