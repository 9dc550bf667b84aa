"""Results as a Markdown table, and that table's place in docs/performance.md."""

import statistics

BEGIN, END = "<!-- table: make bench -->", "<!-- end of table -->"


def median(values):
    return statistics.median(values) if values else None


def number(value):
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def judge(row, medians):
    """One verdict for a row: by rate where the core was busy, else by CPU per command, of which a server with the rate that
    is wanted would take the inverse. Where the goal names CPU, or tgt, beside the rate, they count as well."""
    base, tgt, words = medians.get(row["base"], {}), medians.get("tgt", {}).get(row["unit"]), []
    for who in row["judged"]:
        mine = medians.get(who, {})
        if not mine.get(row["unit"]) or not base.get(row["unit"]):
            words.append(f"{who}: not measured")
            continue
        rate = mine[row["unit"]] / base[row["unit"]]
        cpu = mine["cpu"] / base["cpu"] if mine.get("cpu") and base.get("cpu") else None
        busy = min(mine.get("busy", 0), base.get("busy", 0)) >= 0.95
        by_rate = busy or row["load"]["depth"] == 1 or cpu is None

        def reaches(least, most):
            return rate >= least and (most is None or cpu is None or cpu <= most)

        required = row["less"].get(who, row["required"])
        good = reaches(required, row["cpu_required"]) if by_rate else cpu <= (row["cpu_required"] or 1 / required)
        how = f"rate {rate:.2f}" + (f", CPU {cpu:.2f}" if cpu else "")
        how += "" if by_rate else ", by CPU: core not busy"
        aim = " (aim too)" if good and by_rate and reaches(max(required, row["aimed"]), row["cpu_aimed"]) else ""
        if row["tgt_times"] and tgt and mine[row["unit"]] < row["tgt_times"] * tgt:
            good, aim = False, ""
            how += f", only {mine[row['unit']] / tgt:.1f} times tgt"
        words.append(f"{who}: {'met' if good else 'missed'}{aim}: {how} of {row['base']}")
    return "; ".join(words)


def medians_of(result):
    return {who: {figure: median([v for v in values if isinstance(v, (int, float))]) for figure, values in figures.items()}
            for who, figures in result.items()}


def plain_rows(report):
    lines = ["| row | contender | rate/s | MB/s | core busy | CPU each, us | p50, us | p99.9, us | of base | of tgt |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for row in report["rows"]:
        medians = medians_of(row["result"])
        base = medians.get(row["base"], {}).get(row["unit"])
        tgt = medians.get("tgt", {}).get(row["unit"])
        for who, m in medians.items():
            if "problem" in row["result"][who]:
                lines.append(f"| {row['name']} | {who} | not measured: {row['result'][who]['problem'][0][:80]} | | | | | | | |".replace("\n", " "))
                continue
            mine = m.get(row["unit"])
            busy = f"{m['busy'] * 100:.0f} %" if m.get("busy") is not None else "-"
            of_base = f"{mine / base:.2f}" if mine and base else "-"
            of_tgt = f"{mine / tgt:.1f}" if mine and tgt else "-"
            cells = [row["name"], who, number(m.get("iops")), number(m.get("mb")), busy, number(m.get("cpu")), number(m.get("p50")),
                     number(m.get("p99.9")), of_base, of_tgt]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def verdicts(report):
    lines = ["| row | goal | verdict |", "|---|---|---|"]
    for row in report["rows"]:
        goal = f"at least {row['required']:.2f} of {row['base']}" + (f"; {row['note']}" if row["note"] else "")
        goal += "".join(f"; {who}: {least:.2f}" for who, least in row["less"].items())
        goal += f", at most {row['cpu_required']:.2f} of its CPU" if row["cpu_required"] else ""
        goal += f", {row['tgt_times']} times tgt" if row["tgt_times"] else ""
        lines.append(f"| {row['name']} | {goal} | {judge(row, medians_of(row['result']))} |")
    for row in report["special"]:
        lines.append(f"| {row['name']} | {row['goal']} | {row['verdict']} |")
    return lines


def special_rows(report):
    lines = ["| row | contender | figures (medians) |", "|---|---|---|"]
    for row in report["special"]:
        for who, figures in row["result"].items():
            parts = [f"{name} {number(median(values)) if isinstance(values[0], (int, float)) else values[0]}"
                     for name, values in figures.items()]
            lines.append(f"| {row['name']} | {who} | {', '.join(parts)} |".replace("\n", " "))
    return lines


def markdown(report):
    where = report["where"]
    lines = [f"Commit {where['commit']}, kernel {where['kernel']}, {where['cpu']}, {where['cores']} cores; files on {where['data_fs']}; "
             f"{where['date']}. Medians of {report['rounds']} interleaved rounds of {report['seconds']} s.", ""]
    if report["rows"]:
        lines += verdicts(report) + [""] + plain_rows(report) + [""]
    elif report["special"]:
        lines += verdicts(report) + [""]
    if report["special"]:
        lines += special_rows(report) + [""]
    return "\n".join(lines)


def put_into(document, text):
    """Replaces what stands between the two marks."""
    content = document.read_text()
    head, rest = content.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    document.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{tail}")
