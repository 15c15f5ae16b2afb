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

/// Runs these lists of tests, or all, and prints the coverage by project.
let measure (lists: string list) =
    let filter = if lists.IsEmpty then [] else [ "-p:Filter=" + String.Join('+', lists) ]
    dotnet ([ "build"; "tests/coverage/coverage.proj"; "-nologo"; "-v"; "quiet" ] @ filter)
    let report = XElement.Load "artifacts/coverage/coverage.cobertura.xml"

    report.Descendants(XName.Get "package")
    |> Seq.sortBy (fun project -> project.Attribute(XName.Get "name").Value)
    |> Seq.iter printProject

    let uncovered =
        [ for file, line, covered, all in branches report |> List.sort do
              if covered < all then
                  $"{file}:{line}: {covered} of {all}" ]

    File.WriteAllLines("artifacts/coverage/uncovered.txt", uncovered)
    printfn "The lines with uncovered branches are in artifacts/coverage/uncovered.txt"
