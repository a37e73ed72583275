#pragma once

// WSO2 APK -> API manifests: apk-conf files, which Rota serves as they are, and the custom
// resources that APK makes of them (`dp.wso2.com` API, Backend, APIPolicy, AIProvider, and the
// HTTPRoutes of the API). Secrets are referred to by the names that they have; their values are in
// the cluster.
//
// Pure and thread-safe.

#include <vector>

#include "cli/import/imported.h"

namespace rota::importer {

Imported ImportApk(const std::vector<SourceDocument>& documents);

}  // namespace rota::importer
