# A column `season` from the columns category, fabric and sleeve_length of a labels.csv (commas, no quotes):
# summer, winter or all-year; empty where those columns do not tell. It stands for any attribute that a shop derives from
# what it knows of its items already. One row in SHARE is kept of each split.
#
#   awk -v SHARE=4 -f examples/heads/season.awk labels.csv
BEGIN { FS = OFS = "," }
NR == 1 {
    sub(/\r$/, "")
    for (at = 1; at <= NF; at++) column[$at] = at
    print "image", "split", "season"
    next
}
{
    sub(/\r$/, "")
    split_name = $column["split"]
    if (kept[split_name]++ % SHARE) next
    category = $column["category"]; fabric = $column["fabric"]; sleeves = $column["sleeve_length"]
    bare = sleeves ~ /^(short|sleeveless|spaghetti|strapless)$/
    warm = fabric ~ /^(knit|sweat|quilted|fleece)$/ || category ~ /^(coat|hoodie|sweatshirt|jumper|cardigan)$/
    trousers = category ~ /^(trouser|jean|skirt)$/
    if (category == "" || (sleeves == "" && !trousers && category != "shorts" && !warm)) season = ""
    else if (category == "shorts" || (bare && !warm)) season = "summer"
    else if (warm && !bare) season = "winter"
    else season = "all-year"
    print $column["image"], split_name, season
}
