/** What keeps an audit from being made; one line that tells what to do. */
export class AuditError extends Error {
  readonly code: 'NO_DATA' | 'JOURNAL_UNREADABLE' | 'NO_LEDGER'

  constructor(code: AuditError['code'], message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'AuditError'
    this.code = code
  }
}
