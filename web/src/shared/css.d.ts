// SPDX-License-Identifier: Apache-2.0
// css - a style sheet is imported for what it does; esbuild collects them.
declare module "*.css";
