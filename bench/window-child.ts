/** The process of one load of windows: `window-child.ts LOAD`, the load as JSON; prints its figures as JSON. */
import { type Load, measure } from './window-load.ts'

const load: Load = JSON.parse(process.argv[2])
console.log(JSON.stringify(measure(load)))
