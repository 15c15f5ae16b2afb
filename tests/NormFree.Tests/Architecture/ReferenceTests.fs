/// Project references match docs/architecture.md, and public type names are unique.
module NormFree.Tests.Architecture.ReferenceTests

open System
open System.IO
open System.Text.RegularExpressions
open Expecto
open Mono.Cecil
open NormFree.Tests

/// A project and a project that it references.
type private Arrow = { From: string; To: string }

/// The arrows of the table, whose rows are `| NormFree.X | language | Y, Z | subject |`.
let private documented =
    lazy
        (let page = File.ReadAllText(Path.Combine(repository, "docs", "architecture.md"))

         [ for row in Regex.Matches(page, @"^\| (NormFree\.[\w.]+) \|[^|]*\|([^|]*)\|", RegexOptions.Multiline) ->
               row.Groups[1].Value,
               [ for name in Regex.Matches(row.Groups[2].Value, @"[\w.]+") -> $"NormFree.{name.Value}" ] ])

let private baseName (file: string) = Path.GetFileNameWithoutExtension file |> string

let private references (file: string) =
    [ for reference in Regex.Matches(File.ReadAllText file, "<ProjectReference Include=\"([^\"]+)\"") ->
          baseName (reference.Groups[1].Value.Replace('\\', '/')) ]

/// The arrows of the project files in src.
let private actual =
    lazy
        [ for folder in Directory.GetDirectories(Path.Combine(repository, "src")) do
              for file in Directory.GetFiles(folder, "*.?sproj") -> baseName file, references file ]

let private arrows projects =
    set
        [ for from, references in projects do
              for target in references -> { From = from; To = target } ]

let private listed (arrows: Set<Arrow>) = [ for arrow in arrows -> $"{arrow.From} → {arrow.To}" ]

let private isModule (t: TypeDefinition) =
    // SourceConstructFlags.Module.
    t.CustomAttributes
    |> Seq.exists (fun a ->
        a.AttributeType.Name = "CompilationMappingAttribute"
        && a.ConstructorArguments.Count = 1
        && Convert.ToInt32 a.ConstructorArguments[0].Value &&& 31 = 7)

/// The name without generic arity, and without the suffix of an F# module that has a type's name.
let private simpleName (t: TypeDefinition) =
    let name = (t.Name.Split '`')[0]

    if isModule t && name.EndsWith "Module" then
        name.Substring(0, name.Length - 6)
    else
        name

/// (name, assembly) of all public types and modules that are not nested, once per assembly.
let private publicNames =
    lazy
        [ for file in Directory.GetFiles(AppContext.BaseDirectory, "*.dll") do
              let assembly = baseName file

              if
                  assembly.StartsWith("NormFree.", StringComparison.OrdinalIgnoreCase)
                  && Directory.Exists(Path.Combine(repository, "src", assembly))
              then
                  use definition = ModuleDefinition.ReadModule file

                  for name in definition.Types |> Seq.filter _.IsPublic |> Seq.map simpleName |> Seq.distinct do
                      name, assembly ]

let tests =
    testList
        "references"
        [ test "every project is in the table of docs/architecture.md, and the table has no others" {
              Expect.isNonEmpty documented.Value "rows of the table"

              Expect.equal
                  (documented.Value |> List.map fst |> List.sort)
                  (actual.Value |> List.map fst |> List.sort)
                  "projects"
          }
          test "every reference between projects is in the table" {
              Expect.equal (listed (arrows actual.Value - arrows documented.Value)) [] "references missing in the table"
          }
          test "every reference in the table exists" {
              Expect.equal (listed (arrows documented.Value - arrows actual.Value)) [] "references missing in projects"
          }
          test "no two assemblies have a public type of the same name" {
              Expect.isGreaterThan (publicNames.Value |> List.distinctBy snd).Length 10 "assemblies"

              let duplicates =
                  [ for name, types in List.groupBy fst publicNames.Value do
                        if types.Length > 1 then
                            let assemblies = String.Join(", ", List.map snd types)
                            $"{name}: {assemblies}" ]

              Expect.equal duplicates [] "types of the same name"
          } ]
