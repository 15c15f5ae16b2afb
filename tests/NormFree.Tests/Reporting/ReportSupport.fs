/// Pages of reports and what holds for all of them.
module NormFree.Tests.Reporting.ReportSupport

open System.IO
open System.Text.RegularExpressions
open System.Xml.Linq
open Expecto
open NormFree.Reporting

let hostile = "<script src=\"http://example.org/x.js\">alert('&')</script>|`*_\000"

let ofLogs = List.map ReportedRun.ofLog

/// Writes a page and checks what holds for every page.
let page title (runs: ReportedRun list) =
    let html = Report.html title runs
    let withoutNamespaces = Regex.Replace(html, "xmlns(:\\w+)?=\"[^\"]*\"", "")

    Expect.isFalse
        (Regex.IsMatch(withoutNamespaces, "<\\w[^<>]*(src|href)\\s*=\\s*[\"']?\\s*(https?:)?//"))
        "no reference to a network"

    Expect.isFalse (Regex.IsMatch(html, "<script", RegexOptions.IgnoreCase)) "no script"
    Expect.isFalse (Regex.IsMatch(html, "url\\((?!#)|@import")) "no style from elsewhere"
    let document = XDocument.Parse html
    let named name = document.Descendants() |> Seq.filter (fun e -> e.Name.LocalName = name)
    let attribute (name: string) (e: XElement) = e.Attribute name |> Option.ofObj |> Option.map _.Value
    let ids = document.Descendants() |> Seq.choose (attribute "id") |> Seq.toList
    Expect.hasLength (List.distinct ids) ids.Length "every id occurs once"

    for link in named "a" do
        Expect.contains (ids |> List.map (fun id -> Some("#" + id))) (attribute "href" link) "links lead somewhere"

    for svg in named "svg" do
        let parent = nonNull svg.Parent
        Expect.equal (attribute "role" parent) (Some "img") "a chart is one image for screen readers"

        Expect.isGreaterThan
            (attribute "aria-label" parent |> Option.defaultValue "").Length
            20
            "it has a text alternative"

    for image in named "img" do
        Expect.isNotEmpty (attribute "alt" image |> Option.defaultValue "") "a picture has a text alternative"

    for cell in named "th" do
        Expect.isSome (attribute "scope" cell) "a heading has a scope"

    html

/// The tables of a page, each as rows of cells.
let tables (html: string) =
    let texts (name: string) (row: XElement) =
        [ for cell in row.Elements() do
              if cell.Name.LocalName = name then
                  cell.Value ]

    [ for table in XDocument.Parse(html).Descendants() do
          if table.Name.LocalName = "table" then
              [ for row in table.Descendants() do
                    if row.Name.LocalName = "tr" then
                        texts "th" row @ texts "td" row ] ]

let inFolder action =
    let folder = Directory.CreateTempSubdirectory "normfree-"

    try
        action folder.FullName
    finally
        folder.Delete true
