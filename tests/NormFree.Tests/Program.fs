module NormFree.Tests.Program

open Expecto

let private all: Test list =
    [
        Formats.SafetensorsTests.tests
        Formats.PickleTests.tests
        Reporting.VerdictTests.tests
        Reporting.ChartTests.tests
        Reporting.ReportTests.tests
        testList
            "Data"
            [
                Data.RandomStreamTests.tests
                Data.ImageTests.tests
                Data.ImageSourceTests.tests
                Data.AugmentTests.tests
                Data.LoaderTests.tests
                Data.DrawnTests.tests
                Data.DecodeTests.tests
                Data.ImageFolderTests.tests
                Data.CifarTests.tests
                Data.FashionMnistTests.tests
                Data.CatalogueTests.tests
                Data.DownloadTests.tests
            ]
    ]

[<EntryPoint>]
let main arguments = runTestsWithCLIArgs [] arguments (testList "NormFree" all)
