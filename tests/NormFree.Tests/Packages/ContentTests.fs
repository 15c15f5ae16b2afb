/// What every package holds and says about itself.
module NormFree.Tests.Packages.ContentTests

open System
open System.IO
open System.IO.Compression
open System.Reflection.Metadata
open System.Reflection.PortableExecutable
open System.Xml.Linq
open Expecto
open NormFree.Tests
open NormFree.Tests.Repository

/// SourceLink's kind of custom debug information.
let private sourceLink = Guid "CC110556-A091-4D38-9FEC-25AB9A351A6A"

let private archive name extension =
    ZipFile.OpenRead(Path.Combine(Feed.packages (), $"{name}.{Feed.version}.{extension}"))

let private bytes (zip: ZipArchive) (path: string) =
    match zip.GetEntry path with
    | null -> failtest $"the package lacks {path}"
    | entry ->
        use stream = entry.Open()
        use memory = new MemoryStream()
        stream.CopyTo memory
        memory.ToArray()

let private nuspec (name: string) (zip: ZipArchive) =
    use stream = new MemoryStream(bytes zip $"{name}.nuspec")
    let document = XDocument.Load stream
    [ for element in document.Descendants() -> element.Name.LocalName, element ]

let private text name elements =
    elements
    |> List.tryPick (fun (key, element: XElement) -> if key = name then Some element.Value else None)
    |> Option.defaultValue ""

let private attribute name (key: string) elements =
    elements
    |> List.tryPick (fun (found, element: XElement) ->
        if found = name then
            element.Attribute(XName.Get key) |> Option.ofObj |> Option.map _.Value
        else
            None)
    |> Option.defaultValue ""

let private checkDescription name =
    use zip = archive name "nupkg"
    let elements = nuspec name zip
    Expect.equal (text "license" elements) "MIT" "licence"
    Expect.equal (text "authors" elements) "NormFree contributors" "authors"
    Expect.stringContains (text "releaseNotes" elements) "### Added" "release notes"
    Expect.stringStarts (attribute "repository" "url" elements) "https://" "repository"
    Expect.hasLength (attribute "repository" "commit" elements) 40 "commit"
    Expect.isTrue ((bytes zip "icon.png").Length > 100) "icon"
    Expect.stringContains (Text.Encoding.UTF8.GetString(bytes zip "README.md")) "```" "README with an example"

/// Ranges, so that programs can use newer versions; but TorchSharp and libtorch fit each other in one version only.
let private checkDependencies name =
    use zip = archive name "nupkg"

    for key, element in nuspec name zip do
        if key = "dependency" then
            let id, version = element.Attribute(XName.Get "id"), element.Attribute(XName.Get "version")
            let id, version = (nonNull id).Value, (nonNull version).Value
            let isExact = version.StartsWith '[' && not (version.Contains ',')
            let mustBeExact = id = "TorchSharp" || id = "libtorch-cpu"
            Expect.equal isExact mustBeExact $"{name} needs {id} {version}"

let private checkSymbols name =
    use zip = archive name "nupkg"
    Expect.isTrue ((bytes zip $"lib/net10.0/{name}.xml").Length > 100) "XML documentation"
    use assembly = new PEReader(new MemoryStream(bytes zip $"lib/net10.0/{name}.dll"))

    let isReproducible =
        assembly.ReadDebugDirectory()
        |> Seq.exists (fun entry -> entry.Type = DebugDirectoryEntryType.Reproducible)

    Expect.isTrue isReproducible "a deterministic build"
    use symbols = archive name "snupkg"

    use provider =
        MetadataReaderProvider.FromPortablePdbStream(new MemoryStream(bytes symbols $"lib/net10.0/{name}.pdb"))

    let reader = provider.GetMetadataReader()

    let links =
        [ for handle in reader.CustomDebugInformation do
              let information = reader.GetCustomDebugInformation handle

              if reader.GetGuid(information.Kind) = sourceLink then
                  Text.Encoding.UTF8.GetString(reader.GetBlobBytes information.Value) ]

    match links with
    | [ link ] ->
        Expect.stringContains link "\"/_/*\":\"https://" "SourceLink, with paths that do not depend on the folder"
    | _ -> failtest $"{links.Length} SourceLink maps"

let tests =
    testList
        "contents"
        [ for name in PublicSurfaceTests.packages @ [ "NormFree.Templates" ] do
              test $"{name} has a licence, authors, release notes, a repository, an icon and a README" {
                  checkDescription name
              }
          test "templates contain no files of a build" {
              use zip = archive "NormFree.Templates" "nupkg"
              let files = [ for entry in zip.Entries -> entry.FullName ]
              Expect.exists files (fun file -> file.EndsWith "normfree-service/Program.cs") "the service"

              Expect.isEmpty
                  (files |> List.filter (fun file -> file.Contains "/obj/" || file.Contains "/bin/"))
                  "files of a build"
          }

          for name in PublicSurfaceTests.packages do
              test $"{name} has documentation, symbols with SourceLink, and a deterministic assembly" {
                  checkSymbols name
              }

              test $"{name} accepts newer versions of its dependencies" { checkDependencies name } ]
