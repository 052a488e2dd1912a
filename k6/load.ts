// Does the server meet its objectives under normal load?
// Pass: every threshold holds, and no request had to wait for a free client.
import { iteration } from './lib/measures.ts';
import { objectives } from './lib/objectives.ts';
import { optionsFor } from './lib/options.ts';
import { duration, rate } from './lib/settings.ts';
import { summary } from './lib/summary.ts';
import { constant, everyday } from './lib/workloads.ts';

export { setup } from './lib/start.ts';
export const options = optionsFor({ load: constant(rate(100), duration('1m')) }, objectives());
export const handleSummary = summary('load');

export default iteration(everyday);
