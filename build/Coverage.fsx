/// Branch coverage of the quick tests.
module Coverage

#load "Commands.fsx"

open System
open System.IO
open System.Text.RegularExpressions
open System.Xml.Linq
open Commands

/// The lines of a cobertura report that have branches: file, line, covered and all branches.
let private branches (report: XElement) =
    [ for ofClass in report.Descendants(XName.Get "class") do
          for line in ofClass.Element(XName.Get "lines").Elements() do
              let counts = Regex.Match(string (line.Attribute(XName.Get "condition-coverage")), @"\((\d+)/(\d+)\)")

              if counts.Success then
                  let file = ofClass.Attribute(XName.Get "filename").Value
                  let number = int (line.Attribute(XName.Get "number").Value)
                  file, number, int counts.Groups[1].Value, int counts.Groups[2].Value ]
    |> List.distinct

let private printProject (project: XElement) =
    let found = branches project
    let covered, all = List.sumBy (fun (_, _, n, _) -> n) found, List.sumBy (fun (_, _, _, n) -> n) found
    let name = project.Attribute(XName.Get "name").Value

    if all > 0 then
        printfn $"{name, -25} {covered, 6} of {all, 6} branches {100.0 * float covered / float all, 6:F1} %%"

/// A line with branches that no test takes: file, line number, number of branches, and code.
type private Gap = { File: string; Line: int; Branches: int; Code: string }

/// Files by their path from the root.
let private gaps (report: XElement) =
    [ for file, line, covered, all in branches report |> List.sort do
          let whole = Path.GetFullPath(file, root)

          // Generators write code that is no file.
          if covered < all && File.Exists whole then
              { File = Path.GetRelativePath(root, whole)
                Line = line
                Branches = all - covered
                Code = (File.ReadLines whole |> Seq.item (line - 1)).Trim() } ]

let private describe gap = $"{gap.File}:{gap.Line}: {gap.Branches} branches: {gap.Code}"

/// The list in docs/proof.md of branches that no test takes, for a reason: file, part of the code of a line, and number of branches.
let private excused () =
    [ for line in File.ReadLines "docs/proof.md" do
          let found = Regex.Match(line, @"^- `(src/[^`]+)`, `(.+?)`, (\d+): .")

          if found.Success then
              found.Groups[1].Value, found.Groups[2].Value, int found.Groups[3].Value ]

/// The lists that test the readers of Formats and Archives.
let private readerLists = [ "NormFree.Formats"; "NormFree.Archives"; "NormFree.fuzzing" ]

/// Fails unless the gaps of Formats and Archives are those of the list in docs/proof.md.
let private requireExcused (all: Gap list) =
    let found = all |> List.filter (fun gap -> Regex.IsMatch(gap.File, "^src/NormFree.(Formats|Archives)/"))

    let excused = excused ()

    let excuses gap (file: string, code: string, branches) =
        gap.File = file && gap.Code.Contains code && gap.Branches = branches

    let problems =
        [ for gap in found do
              if not (List.exists (excuses gap) excused) then
                  $"no test, and no reason in docs/proof.md: {describe gap}"
          for file, code, branches in excused do
              if not (found |> List.exists (fun gap -> excuses gap (file, code, branches))) then
                  $"docs/proof.md excuses what is tested, or not there: {file}, {code}, {branches}" ]

    problems |> List.iter (printfn "%s")

    if not problems.IsEmpty then
        failwith $"{problems.Length} differences from the list of branches in docs/proof.md."

/// Runs these lists of tests, or all, and prints the coverage by project. The word readers stands for the lists of Formats and Archives, whose
/// branches without a test must be those that docs/proof.md lists.
let measure (lists: string list) =
    let isReaders = (lists = [ "readers" ])
    let lists = if isReaders then readerLists else lists
    let filter = if lists.IsEmpty then [] else [ "-p:Filter=" + String.Join('+', lists) ]
    dotnet ([ "build"; "tests/coverage/coverage.proj"; "-nologo"; "-v"; "quiet" ] @ filter)
    let report = XElement.Load "artifacts/coverage/coverage.cobertura.xml"

    report.Descendants(XName.Get "package")
    |> Seq.sortBy (fun project -> project.Attribute(XName.Get "name").Value)
    |> Seq.iter printProject

    let gaps = gaps report
    File.WriteAllLines("artifacts/coverage/uncovered.txt", List.map describe gaps)
    printfn "The lines with uncovered branches are in artifacts/coverage/uncovered.txt"

    if isReaders then
        requireExcused gaps
